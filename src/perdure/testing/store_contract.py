"""StoreContract: what every ActionStateStore must do, as tests to inherit.

    class TestMyStore(StoreContract):
        def make_store(self) -> ActionStateStore:
            return MyStore(...)

        def reopen(self, store: ActionStateStore) -> ActionStateStore:
            return MyStore(...)  # over the same data

Plain methods named `test_*`, so that pytest collects them; nothing here imports it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from perdure.errors import StoreDataError, StoreError
from perdure.journal.record import Record, RecordKind, StoredPayload
from perdure.store.base import (
    ActionStateStore,
    Command,
    CommandDoneRow,
    CommandRow,
    DeliveredRow,
    Row,
    SinkRow,
)
from perdure.store.files import SINK, SOURCE, FileRow
from perdure.testing.change_contract import ChangeContract
from perdure.testing.contract_support import on_a_loop, refusal
from perdure.testing.count_contract import CountContract
from perdure.testing.document_contract import DocumentContract
from perdure.testing.generation_contract import GenerationContract
from perdure.testing.life_contract import LifeContract
from perdure.testing.sample_rows import COMPLETED, FAILED, SampleRows
from perdure.testing.start_contract import StartContract, StartViewContract
from perdure.testing.view_contract import ViewContract

__all__ = ["OwnerContract", "StoreContract"]


class OwnerContract(DocumentContract, StartContract):
    """Tests of what a store does for the job that owns it; a subclass says how to make one."""

    async def filled(self, rows: Callable[[SampleRows], Sequence[Row]]) -> ActionStateStore:
        """Return a closed store to which `rows` were committed in one batch."""
        async with self.opened() as (store, sample):
            await store.commit(rows(sample))
        return store

    # Commits

    @on_a_loop
    async def test_every_kind_of_row_is_there_after_reopening(self) -> None:
        async with self.opened() as (store, sample):
            output = sample.output(1, 1)
            command = CommandRow(
                job=sample.job, run=sample.run_number(1), command="cancel", payload=b"p", at=1
            )
            sink = SinkRow(job=sample.job, name="file", base=10, offset=20)
            await store.commit(
                [
                    sample.key(1), sample.run(1), sample.input("a", 1), sample.record(1, 1),
                    sample.memory(1, "a.b", b"\x00cell"), output, sink, command,
                ]
            )  # fmt: skip
        async with self.opened(store) as (again, _):
            run = sample.run_number(1)
            assert await again.runs([run]) == {run: sample.run(1)}
            assert await again.records([run]) == {run: [sample.record(1, 1)]}
            assert await again.inputs("", ["a"]) == {"a": (run, sample.input("a", 1).digest)}
            state = (await again.keys([sample.key(1).digest]))[sample.key(1).digest]
            assert state.row == sample.key(1)
            assert list(state.memory) == [sample.memory(1, "a.b", b"\x00cell")]
            assert await again.outputs([run]) == [sample.stored(output)]
            assert await again.sink("file") == sink
            commands = await again.commands()
            assert commands is not None
            assert [command[1:4] for command in commands] == [(run, "cancel", b"p")]

    @on_a_loop
    async def test_rows_of_a_batch_may_come_in_any_order(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.status(1, COMPLETED), sample.run(1), sample.key(1)])
            run = sample.run_number(1)
            assert (await store.runs([run]))[run].status == COMPLETED

    @on_a_loop
    async def test_batches_are_written_in_the_order_of_the_calls(self) -> None:
        async with self.opened() as (store, sample):
            commits = [store.commit([sample.record(1, n)]) for n in range(1, 21)]
            await asyncio.gather(*commits)
            records = await store.records([sample.run_number(1)])
            assert [record.n for record in records[sample.run_number(1)]] == list(range(1, 21))

    @on_a_loop
    async def test_an_empty_batch_is_done(self) -> None:
        async with self.opened() as (store, _):
            assert await refusal(store.commit([])) is None

    @on_a_loop
    async def test_a_refused_row_takes_its_whole_batch_with_it(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1)])
            error = await refusal(
                store.commit(
                    [
                        sample.key(2), sample.run(1), sample.input("a", 1), sample.record(1, 1),
                        sample.memory(1, "a", b"1"), sample.output(1, 1), sample.status(1, FAILED),
                    ]
                )
            )  # fmt: skip
            assert isinstance(error, StoreDataError)
            run = sample.run_number(1)
            assert await store.keys([sample.key(2).digest]) == {}
            assert await store.inputs("", ["a"]) == {}
            assert await store.records([run]) == {}
            assert await store.outputs([run]) == []
            assert await store.runs([run]) == {run: sample.run(1)}
            assert (
                list((await store.keys([sample.key(1).digest]))[sample.key(1).digest].memory) == []
            )

    @on_a_loop
    async def test_what_would_be_double_is_refused(self) -> None:
        async with self.opened() as (store, sample):
            first: list[Row] = [
                sample.key(1), sample.run(1), sample.input("a", 1), sample.output(1, 1)
            ]  # fmt: skip
            await store.commit(first)
            for row in first[1:]:
                error = await refusal(store.commit([row]))
                assert isinstance(error, StoreDataError), f"{row} was taken twice"

    @on_a_loop
    async def test_a_value_out_of_range_is_refused_as_data(self) -> None:
        async with self.opened() as (store, sample):
            error = await refusal(store.commit([sample.record(1, 1)._replace(at=1 << 70)]))
            assert isinstance(error, StoreDataError)

    @on_a_loop
    async def test_the_store_goes_on_after_a_refused_batch(self) -> None:
        async with self.opened() as (store, sample):
            refused = store.commit([sample.run(1), sample.run(1)])
            taken = store.commit([sample.key(1), sample.run(1)])
            assert isinstance(await refusal(refused), StoreDataError)
            await taken
            assert len(await store.unfinished()) == 1

    # Runs, keys, inputs

    @on_a_loop
    async def test_the_end_of_a_run_is_read_as_it_was_written(self) -> None:
        did = b"\x96\x90\x90\x90\x01\x01\x90"  # one output, and nothing else
        payloads = (b"\x96\x90", did, did, bytes(range(256)) * 9)
        async with self.opened() as (store, sample):
            runs = [sample.run_number(n) for n in range(1, 5)]
            written = [sample.record(n, 1) for n in range(1, 5)]
            ends = [
                sample.end(n, 1 + n % 2, payload=payload) for n, payload in enumerate(payloads, 1)
            ]
            admitted = [sample.run(n)._replace(admitted_at=n) for n in range(1, 5)]
            await store.commit([sample.key(1), *admitted, *written])
            await store.commit([row for end in ends for row in end])
            assert await store.records(runs) == {
                run: [record, end[0]] for run, record, end in zip(runs, written, ends, strict=True)
            }
            rows = await store.runs(runs)
            assert [(rows[run].status, rows[run].finished_at) for run in runs] == [(4, 7)] * 4

    @on_a_loop
    async def test_large_outcomes_can_be_left_and_read_when_they_are_fed(self) -> None:
        large = bytes(range(256)) * 300
        async with self.opened() as (store, sample):
            written = [
                sample.record(1, 1)._replace(kind=kind, payload=payload, n=n)
                for n, (kind, payload) in enumerate(
                    (
                        (RecordKind.RESULT, large), (RecordKind.ERROR, large[1:]),
                        (RecordKind.RESULT, b"small"), (RecordKind.SIGNAL, large[2:]),
                        (RecordKind.RESULT, None),
                    ),
                    1,
                )
            ]  # fmt: skip
            await store.commit(written)
            run = sample.run_number(1)
            read = (await store.records([run]))[run]
            for number in (2, 3, 4):  # what is not an outcome, or small, is there at once
                assert not isinstance(read[number].payload, StoredPayload)
            assert await whole(store, run) == written

    @on_a_loop
    async def test_large_payloads_are_read_as_they_were_written(self) -> None:
        async with self.opened() as (store, sample):
            one, two = sample.run_number(1), sample.run_number(2)
            run = sample.run(1)._replace(value=sample.large(1), error=sample.large(2))
            outputs = [sample.output(1, n)._replace(value=sample.large(n)) for n in (1, 2)]
            cell = sample.memory(1, "a", sample.large(3))
            records = [
                sample.record(1, n, kind=kind)._replace(payload=sample.large(n))
                for n, kind in enumerate((2, 3, 7, 11, 12, 13), 1)
            ]
            command = CommandRow(sample.job, one, "signal", sample.large(4), at=1)
            failed = sample.status(2, FAILED, error=sample.large(5))
            rows: list[Row] = [
                sample.key(1), run, sample.run(2), *records, cell, *outputs, command, failed
            ]  # fmt: skip
            await store.commit(rows)
        async with self.opened(store) as (again, _):
            assert await again.runs([one]) == {one: run}
            assert (await again.runs([two]))[two].error == failed.error
            assert await whole(again, one) == records
            assert await again.outputs([one]) == [sample.stored(output) for output in outputs]
            assert await again.undelivered() == [sample.stored(output) for output in outputs]
            assert list((await again.keys_of([one]))[cell.key].memory) == [cell]
            assert [each.payload for each in await again.commands() or ()] == [command.payload]
            # Written again, as what is given back is.
            moved = [record._replace(run=two) for record in (await again.records([one]))[one]]
            await again.commit(moved)
            assert await again.records([two]) == {two: moved}
            async with again.view() as view:
                head = (await view.heads([one]))[one]
                assert (head.row.value, head.row.error) == (run.value, run.error)
                assert (await view.runs(sample.job)).items[1] == head
                assert head.note == records[-1].payload
                assert await view.records(one) == records
                stored = [sample.stored(output) for output in outputs]
                assert (await view.outputs(sample.job)).items == stored
                assert (await view.outputs(sample.job, run=one)).items == stored
                assert (await view.memory(cell.key)).items == [cell]
                asked = (await view.commands(sample.job)).items
                assert [each.payload for each in asked] == [command.payload]

    @on_a_loop
    async def test_records_keep_their_order_run_by_run(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.record(2, 1), sample.record(1, 2), sample.record(2, 3)])
            await store.commit([sample.record(1, 1), sample.record(2, 2)])
            one, two, three = (sample.run_number(n) for n in (1, 2, 3))
            records = await store.records([two, one, three])
            assert [record.n for record in records[one]] == [2, 1]
            assert [record.n for record in records[two]] == [1, 3, 2]
            assert three not in records

    @on_a_loop
    async def test_statuses_are_updated(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1), sample.run(2)])
            await store.commit([sample.status(1, FAILED, error=b"why")])
            run = sample.run_number(1)
            changed = (await store.runs([run, sample.run_number(2)]))[run]
            assert (changed.status, changed.attempt) == (FAILED, 2)
            assert (changed.error, changed.finished_at) == (b"why", 7)
            assert changed.value == sample.run(1).value
            assert await store.unfinished() == [sample.run(2)]

    @on_a_loop
    async def test_unfinished_runs_come_in_the_order_of_their_places(self) -> None:
        def rows(sample: SampleRows) -> list[Row]:
            runs = [sample.run(1, place=9), sample.run(2, place=4), sample.run(3, place=5)]
            return [sample.key(1), *runs, sample.run(4, status=COMPLETED)]

        async with self.opened(await self.filled(rows)) as (store, _):
            assert [run.sequence for run in await store.unfinished()] == [2, 3, 1]

    @on_a_loop
    async def test_a_key_has_its_newest_sequence_and_memory(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.key(2), sample.memory(1, "a", b"1")])
            await store.commit([sample.memory(1, "b", b"2"), sample.memory(2, "a", b"3")])
            await store.commit([sample.key(1, sequence=5), sample.memory(1, "a", b"4")])
            digests = [sample.key(1).digest, sample.key(2).digest, b"unknown"]
            states = await store.keys(digests)
            assert set(states) == set(digests[:2])
            assert states[digests[0]].row == sample.key(1, sequence=5)
            cells = {cell.path: cell.data for cell in states[digests[0]].memory}
            assert cells == {"a": b"4", "b": b"2"}
            assert [cell.data for cell in states[digests[1]].memory] == [b"3"]

    @on_a_loop
    async def test_a_tombstone_removes_a_path_for_good(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.memory(1, "a", b"1")])
            await store.commit([sample.memory(1, "a", None), sample.memory(1, "b", b"2")])
            digest = sample.key(1).digest
            live = (await store.keys([digest]))[digest].memory
            assert [cell.path for cell in live] == ["b"]
        async with self.opened(store) as (again, _):
            kept = (await again.keys([digest]))[digest].memory
            assert [cell.path for cell in kept] == ["b"]
            await again.commit([sample.memory(1, "a", b"3")])
            back = (await again.keys([digest]))[digest].memory
            assert {cell.path: cell.data for cell in back} == {"a": b"3", "b": b"2"}

    @on_a_loop
    async def test_keys_are_found_by_their_runs(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit(
                [
                    sample.key(1), sample.key(2), sample.key(3), sample.memory(2, "a", b"1"),
                    sample.run(1, key=1), sample.run(2, key=2), sample.run(3, key=2),
                ]
            )  # fmt: skip
            states = await store.keys_of([sample.run_number(2), sample.run_number(3)])
            assert set(states) == {sample.key_number(2)}
            assert states[sample.key_number(2)].row == sample.key(2)
            assert list(states[sample.key_number(2)].memory) == [sample.memory(2, "a", b"1")]

    @on_a_loop
    async def test_inputs_keep_the_type_of_their_ids_apart(self) -> None:
        async with self.opened() as (store, sample):
            rows = [sample.input(7, 1), sample.input("7", 2), sample.input(7, 3, source="file")]
            await store.commit([sample.key(1), *map(sample.run, (1, 2, 3)), *rows])
            known = await store.inputs("", [7, "7", 8])
            assert known == {
                7: (sample.run_number(1), rows[0].digest),
                "7": (sample.run_number(2), rows[1].digest),
            }
            assert set(await store.inputs("", ["7"])) == {"7"}
            assert await store.inputs("file", ["7", 7]) == {
                7: (sample.run_number(3), rows[2].digest)
            }

    @on_a_loop
    async def test_any_number_of_rows_can_be_asked_for(self) -> None:
        async with self.opened() as (store, sample):
            count = 2_500
            runs = [sample.run(n) for n in range(1, count + 1)]
            await store.commit([sample.key(1), *runs, *(sample.record(n, 1) for n in (1, count))])
            numbers = [run.run for run in runs]
            assert len(await store.runs(numbers)) == count
            assert set(await store.records(numbers)) == {numbers[0], numbers[-1]}
            assert await store.runs([]) == {}

    # Outputs, sinks, commands

    @on_a_loop
    async def test_outputs_come_in_commit_order(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1), sample.run(2)])
            committed = [sample.output(2, 1), sample.output(1, 1), sample.output(2, 2)]
            await store.commit(committed[:1])
            await store.commit(committed[1:])
            expected = [sample.stored(row) for row in committed]
            assert await store.undelivered() == expected
            assert await store.outputs([sample.run_number(1), sample.run_number(2)]) == expected
            assert await store.outputs([sample.run_number(1)]) == [expected[1]]

    @on_a_loop
    async def test_a_name_stands_for_the_file_that_was_written_last(self) -> None:
        async with self.opened() as (store, sample):
            row = FileRow(sample.job, SOURCE, "in.jsonl", "/a/in.jsonl", "in.jsonl")
            await store.commit([row, row._replace(kind=SINK)])
            assert await store.file(SOURCE, "in.jsonl") == row
            assert await store.file(SOURCE, "out.jsonl") is None
            await store.commit([row._replace(path="/b/in.jsonl", beside="")])
        async with self.opened(store) as (again, _):
            moved = row._replace(path="/b/in.jsonl", beside="")
            assert await again.file(SOURCE, "in.jsonl") == moved
            assert await again.file(SINK, "in.jsonl") == row._replace(kind=SINK)
        async with self.opened(store, job="another") as (other, _):
            assert await other.file(SOURCE, "in.jsonl") is None

    @on_a_loop
    async def test_what_a_sink_has_is_not_delivered_again(self) -> None:
        async with self.opened() as (store, sample):
            rows = [sample.output(1, 1), sample.output(1, 2)]
            await store.commit([sample.key(1), sample.run(1), *rows])
            sink = SinkRow(job=sample.job, name="file", base=0, offset=8)
            await store.commit([DeliveredRow(run=sample.run_number(1), number=1), sink])
        async with self.opened(store) as (again, _):
            assert await again.undelivered() == [sample.stored(rows[1])]
            delivered = [output.delivered for output in await again.outputs([rows[0].run])]
            assert delivered == [1, 0]
            assert await again.sink("file") == sink
            await again.commit([sink._replace(offset=99)])
            assert await again.sink("file") == sink._replace(offset=99)
            assert await again.sink("other") is None

    @on_a_loop
    async def test_a_command_stays_until_it_is_done(self) -> None:
        def rows(sample: SampleRows) -> list[Row]:
            runs = (sample.run_number(n) for n in (2, 1))
            return [
                CommandRow(job=sample.job, run=run, command="retry", payload=None, at=1)
                for run in runs
            ]

        async with self.opened(await self.filled(rows)) as (store, _):
            commands = await self._commands(store)
            assert [command.run - commands[0].run for command in commands] == [0, -1]
            await store.commit([CommandDoneRow(number=commands[0].number)])
        async with self.opened(store) as (again, _):
            assert await self._commands(again) == commands[1:]
            # Nothing was written from outside since: a store that can tell says so.
            assert await again.commands() in (None, commands[1:])

    async def _commands(self, store: ActionStateStore) -> list[Command]:
        commands = await store.commands()
        assert commands is not None, "the first look after opening must be a full one"
        return commands

    # Jobs, opening and closing

    @on_a_loop
    async def test_numbers_go_on_after_reopening(self) -> None:
        async with self.opened() as (store, sample):
            assert sample.run_number(0) == sample.key_number(0) == sample.job << 40
            await store.commit([sample.key(3), sample.run(1, place=8), sample.run(2)])
        again = self.reopen(store)
        try:
            info = await again.open(self.job)
        finally:
            await again.close()
        assert info.job == sample.job
        assert info.last_key == sample.key_number(3)
        # Runs and places are numbered together, so a place given to a retry counts too.
        assert info.last_run == sample.run_number(8)

    @on_a_loop
    async def test_jobs_of_one_store_do_not_see_each_other(self) -> None:
        async with self.opened(job="one") as (store, one):
            command = CommandRow(
                job=one.job, run=one.run_number(1), command="retry", payload=None, at=1
            )
            sink = SinkRow(job=one.job, name="file", base=0, offset=1)
            rows: list[Row] = [
                one.key(1), one.run(1), one.input("a", 1), one.output(1, 1), sink, command
            ]  # fmt: skip
            await store.commit(rows)
        async with self.opened(store, job="two") as (other, two):
            assert two.job != one.job
            assert two.run_number(0) == two.job << 40
            assert await other.unfinished() == []
            assert await other.undelivered() == []
            assert await other.inputs("", ["a"]) == {}
            assert await other.keys([one.key(1).digest]) == {}
            assert await other.sink("file") is None
            assert await other.commands() == []
            # The same key and id are another key and another run here.
            await other.commit([two.key(1), two.run(1), two.input("a", 1)])
        async with self.opened(other, job="one") as (back, _):
            assert await back.unfinished() == [one.run(1)]
            assert (await back.keys([one.key(1).digest]))[one.key(1).digest].row == one.key(1)

    @on_a_loop
    async def test_a_closed_store_refuses(self) -> None:
        store = self.make_store()
        assert isinstance(await refusal(store.commit([])), StoreError)
        async with self.opened(store) as (used, sample):
            await used.commit([sample.key(1)])
        assert isinstance(await refusal(used.commit([sample.key(2)])), StoreError)
        assert isinstance(await refusal(used.unfinished()), StoreError)
        assert isinstance(await refusal(used.keys([sample.key(1).digest])), StoreError)
        assert await refusal(used.close()) is None, "closing again must do nothing"

    @on_a_loop
    async def test_an_open_store_cannot_be_opened_again(self) -> None:
        async with self.opened() as (store, sample):
            assert isinstance(await refusal(store.open(self.job)), StoreError)
            await store.commit([sample.key(1)])  # and goes on

    @on_a_loop
    async def test_closing_finishes_what_was_begun(self) -> None:
        async with self.opened() as (store, sample):
            commit = store.commit([sample.key(1)])
        assert await refusal(commit) is None
        async with self.opened(store) as (again, _):
            assert set(await again.keys([sample.key(1).digest])) == {sample.key(1).digest}

    def test_another_event_loop_can_open_it(self) -> None:
        """A store outlives event loops: an engine runs each job on one of its own."""
        store = asyncio.run(self.filled(lambda sample: [sample.key(1)]))

        async def look() -> int:
            async with self.opened(store) as (_, sample):
                return sample.key_number(0) - (sample.job << 40)

        assert asyncio.run(look()) == 1


class StoreContract(
    OwnerContract, ViewContract, ChangeContract, StartViewContract, GenerationContract,
    LifeContract, CountContract,
):  # fmt: skip
    """Tests of a store that can also be looked into from outside (`ActionStateStore.view`)."""


async def whole(store: ActionStateStore, run: int) -> list[Record]:
    """Return the records of a run, with the payloads that were left in the store."""
    return [
        record._replace(payload=await store.payload(record.payload))
        if isinstance(record.payload, StoredPayload)
        else record
        for record in (await store.records([run]))[run]
    ]
