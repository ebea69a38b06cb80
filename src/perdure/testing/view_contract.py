"""The part of StoreContract that is about looking into a store from outside."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from perdure.errors import StoreError
from perdure.journal.record import Record, RecordKind
from perdure.store.base import (
    ActionStateStore,
    CommandDoneRow,
    CommandRow,
    DeliveredRow,
    Page,
    Row,
    StoreView,
    WaitRow,
)
from perdure.store.documents import DocumentRow
from perdure.store.files import BadLineRow, MendedLineRow
from perdure.store.row_types import ActionWaitsEndRow, WaitEndRow
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop, refusal
from perdure.testing.sample_rows import CANCELLED, COMPLETED, FAILED, QUEUED, WAITING, SampleRows

__all__ = ["ViewContract"]

T = TypeVar("T")

RUNNING = 2  # as a view shows a run that has begun; stores keep it as queued


class ViewContract(ContractStores):
    """Tests of the view of a store; see StoreContract."""

    # Bad lines

    @on_a_loop
    async def test_bad_lines_come_by_source_and_position_until_they_are_mended(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            rows = [
                BadLineRow(sample.job, source, position, position + 1, f"reason {position}", at=1)
                for source in ("a.jsonl", "b:ü.jsonl")
                for position in (0, 2, 11)
            ]
            await store.commit([*reversed(rows), rows[0]])
            first = await view.bad_lines(sample.job, limit=4)
            rest = await view.bad_lines(sample.job, after=first.after, limit=4)
            assert [*first.items, *rest.items] == rows
            assert rest.after == ""
            assert sorted(await store.bad_positions("a.jsonl")) == [0, 2, 11]
            assert await store.bad_positions("c.jsonl") == []
            await store.commit(
                [MendedLineRow(sample.job, "a.jsonl", 2), rows[0]._replace(reason="another")]
            )
            assert await view.count_bad_lines(sample.job) == 5
            found = (await view.bad_lines(sample.job)).items
            assert found == [rows[0]._replace(reason="another"), *rows[2:]]
            assert (await view.bad_lines(sample.job + 1)).items == []

    # Waits

    @on_a_loop
    async def test_waits_are_seen_until_they_end_or_their_run_does(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            runs = [sample.run(n).run for n in (1, 2, 3)]
            rows = [
                WaitRow(run, event, "act", call, "näme", "approval", question, since=call)
                for run in runs
                for event, call, question in ((0, 1, "Pay?"), (0, 2, None), (4, 1, "ünd?"))
            ]
            await store.commit([sample.key(1), *(sample.run(n) for n in (1, 2, 3)), *rows])
            first = await view.waits(sample.job, limit=4)
            rest = await view.waits(sample.job, after=first.after, limit=6)
            assert [*first.items, *rest.items] == rows
            assert (await view.waits(sample.job + 1)).items == []
            assert await view.waits_of([runs[2], runs[0]]) == [*rows[:3], *rows[6:]]
            assert await store.waits_of([runs[2], runs[0]]) == [*rows[:3], *rows[6:]]
            again = rows[0]._replace(name="other")
            ended: list[Row] = [WaitEndRow(*rows[1][:4]), ActionWaitsEndRow(runs[1], 0, "act")]
            await store.commit([*ended, again, sample.status(3, COMPLETED)])
            assert (await view.waits(sample.job)).items == [again, rows[2], rows[5]]
            assert await view.waits_of(runs) == [again, rows[2], rows[5]]

    # Ids

    @on_a_loop
    async def test_ids_that_were_given_with_inputs_name_their_runs(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            runs = {n: sample.run(n) for n in (1, 2)}
            other = sample.input("ü", 2, source="file")
            await store.commit([sample.key(1), *runs.values(), sample.input("ü", 1), other])
            assert await view.runs_of_inputs(sample.job, ["b", "ü"]) == {"ü": runs[1].run}
            assert await view.runs_of_inputs(sample.job, []) == {}
            assert await view.runs_of_inputs(sample.job + 1, ["ü"]) == {}

    # Opening

    @on_a_loop
    async def test_a_view_shows_a_store_that_is_open_or_closed(self) -> None:
        async with self.opened() as (store, sample):
            async with store.view() as view:
                await store.commit([sample.key(1), sample.run(1)])
                assert await numbers(view, sample) == [1]
                await store.commit([sample.run(2)])
                assert await numbers(view, sample) == [2, 1]
        async with store.view() as view:
            assert await numbers(view, sample) == [2, 1]
            assert view.version > 0

    @on_a_loop
    async def test_a_view_of_what_is_not_there_is_refused(self) -> None:
        view = self.make_store().view()
        assert isinstance(await refusal(view.open()), StoreError)
        assert isinstance(await refusal(view.jobs()), StoreError)
        assert await refusal(view.close()) is None

    @on_a_loop
    async def test_a_closed_view_refuses_and_can_be_opened_again(self) -> None:
        async with self.opened() as (store, _):
            async with store.view() as view:
                assert isinstance(await refusal(view.open()), StoreError)
            assert isinstance(await refusal(view.jobs()), StoreError)
            assert await refusal(view.close()) is None, "closing again must do nothing"
            async with view:
                assert len((await view.jobs()).items) == 1

    def test_another_event_loop_can_look_beside_the_owner(self) -> None:
        async def look(store: ActionStateStore) -> list[str]:
            async with store.view() as view:
                return [job.name for job in (await view.jobs()).items]

        async def run() -> None:
            async with self.opened() as (store, sample):
                looks = [asyncio.to_thread(asyncio.run, look(store)) for _ in range(4)]
                commits = [store.commit([sample.record(1, n)]) for n in range(1, 50)]
                assert await asyncio.gather(*looks) == [[self.job]] * 4
                await asyncio.gather(*commits)
                assert len((await store.records([sample.run_number(1)])).popitem()[1]) == 49

        asyncio.run(run())

    # Jobs

    @on_a_loop
    async def test_jobs_are_listed_by_name(self) -> None:
        names = ["b", "", "ä", "a.b/c", "a"]
        numbers = {}
        async with self.opened(job="first") as (store, sample):
            numbers["first"] = sample.job
        for name in names:
            async with self.opened(store, job=name) as (store, sample):
                numbers[name] = sample.job
        async with store.view() as view:
            for limit in (1, 2, 100):
                found = await pages(functools.partial(view.jobs, limit=limit))
                assert {job.name: job.job for job in found} == numbers
                assert [job.name for job in found] == sorted(numbers)
            assert await view.job("a.b/c") in found
            assert await view.job("c") is None

    @on_a_loop
    async def test_g22_a_job_is_owned_while_it_is_open(self) -> None:
        async with self.opened() as (store, _):
            async with store.view() as view:
                assert await view.is_owned(self.job)
                assert not await view.is_owned("other")
        async with store.view() as view:
            assert not await view.is_owned(self.job)
            async with self.opened(store) as _:
                pass  # whoever looks takes nothing

    @on_a_loop
    async def test_a_view_keeps_jobs_apart(self) -> None:
        async with self.opened(job="one") as (store, one):
            await store.commit([*everything(one), *everything(one, first=3)])
        async with self.opened(store, job="two") as (store, two):
            await store.commit(everything(two))
            async with store.view() as view:
                for sample, count in ((one, 2), (two, 1)):
                    job = sample.job
                    assert len((await view.runs(job)).items) == count
                    assert await view.counts(job) == {QUEUED: count}
                    assert len((await view.outputs(job)).items) == count
                    assert len((await view.commands(job)).items) == count
                    assert [(c.name, c.size) for c in (await view.collections(job)).items] == [
                        ("c", count)
                    ]
                    key = await view.key(job, sample.key(1).digest)
                    assert key == sample.key(1)
                    found = await view.runs(job, key=sample.key(1).digest)
                    assert [head.row.run for head in found.items] == [sample.run_number(1)]

    # Runs

    @on_a_loop
    async def test_runs_come_newest_first_page_by_page(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.key(2)])
            runs = [sample.run(n, key=1 + n % 2, place=90 - n) for n in range(1, 8)]
            await store.commit(runs)
            async with store.view() as view:
                for limit in (1, 3, 7, 50):
                    found = await pages(functools.partial(view.runs, sample.job, limit=limit))
                    assert [head.row for head in found] == runs[::-1]
                assert found[0].key == sample.key(2).value
                assert found[1].key == sample.key(1).value
                first = await view.runs(sample.job, limit=3)
                await store.commit([sample.run(8)])
                then = await view.runs(sample.job, after=first.after, limit=3)
                assert [head.row for head in then.items] == runs[3:0:-1], "a new run moved a page"
                assert isinstance(await refusal(view.runs(sample.job, after="x y")), StoreError)

    @on_a_loop
    async def test_runs_are_found_by_how_they_stand(self) -> None:
        async with self.opened() as (store, sample):
            start, retry = RecordKind.START, RecordKind.RETRY
            statuses = [QUEUED, QUEUED, QUEUED, WAITING, COMPLETED, FAILED, CANCELLED]
            runs = [sample.run(n + 1, status=status) for n, status in enumerate(statuses)]
            await store.commit([sample.key(1), sample.key(2), *runs, sample.run(8, key=2)])
            await store.commit([sample.record(2, 1, kind=start), sample.record(3, 1, kind=start)])
            # The third was put back and has not begun again.
            put_back = sample.status(3, QUEUED)
            await store.commit([sample.record(3, 1, kind=retry), put_back])
            shown = {QUEUED: [8, 3, 1], RUNNING: [2], WAITING: [4]}
            shown |= {COMPLETED: [5], FAILED: [6], CANCELLED: [7]}
            first_key = sample.key(1).digest
            async with store.view() as view:
                for status, expected in shown.items():
                    assert await numbers(view, sample, status=status) == expected
                    assert await numbers(view, sample, status=status, limit=1) == expected[:1]
                    of_key = [n for n in expected if n != 8]
                    assert await numbers(view, sample, status=status, key=first_key) == of_key
                    page = await view.runs(sample.job, status=status, limit=1)
                    assert [head.row.status for head in page.items] == [status]
                    rest = await view.runs(sample.job, status=status, after=page.after)
                    assert [head.row.run for head in rest.items] == [
                        sample.run_number(n) for n in expected[1:]
                    ]
                assert await numbers(view, sample, key=sample.key(2).digest) == [8]
                assert await numbers(view, sample, key=b"unknown") == []
                assert await view.counts(sample.job) == {
                    QUEUED: 4, WAITING: 1, COMPLETED: 1, FAILED: 1, CANCELLED: 1
                }  # fmt: skip

    @on_a_loop
    async def test_heads_have_the_last_note(self) -> None:
        async with self.opened() as (store, sample):
            note = sample.record(1, 1, kind=RecordKind.NOTE)
            done = sample.record(2, 1, kind=RecordKind.NOTE)
            await store.commit([sample.key(1), sample.run(1), sample.run(2, status=COMPLETED)])
            await store.commit([note, note._replace(payload=b"newer"), done, sample.run(3)])
            runs = [sample.run_number(n) for n in (1, 2, 3, 4)]
            async with store.view() as view:
                heads = await view.heads(runs)
                assert {run: head.note for run, head in heads.items()} == {
                    runs[0]: b"newer", runs[1]: done.payload, runs[2]: None
                }  # fmt: skip
                assert heads[runs[0]].row == sample.run(1)
                assert heads[runs[0]].key == sample.key(1).value
                assert await view.heads([]) == {}
                listed = (await view.runs(sample.job)).items
                assert [head.note for head in listed] == [None, None, b"newer"]

    @on_a_loop
    async def test_a_journal_is_read_on_from_where_it_was(self) -> None:
        async with self.opened() as (store, sample):
            records = [sample.record(1, n) for n in (1, 3, 2)]
            await store.commit([sample.record(2, 7), *records[:2]])
            await store.commit([sample.record(2, 8), records[2]])
            run = sample.run_number(1)
            async with store.view() as view:
                assert await view.records(run) == records
                assert await view.records(run, after=1) == records[1:]
                assert await view.records(run, after=1, limit=1) == records[1:2]
                assert await view.records(run, after=3) == []
                await store.commit([sample.record(1, 4)])
                assert await view.records(run, after=3) == [sample.record(1, 4)]
                assert await view.records(sample.run_number(3)) == []

    @on_a_loop
    async def test_the_end_of_a_run_is_the_last_record_of_its_journal(self) -> None:
        async with self.opened() as (store, sample):
            records = [sample.record(1, n) for n in (1, 2)]
            ends = [sample.end(n, 1, payload=sample.large(n)) for n in (1, 2)]
            done = [rows[0] for rows in ends]
            await store.commit([sample.key(1), sample.run(1), sample.run(2)])
            async with store.view() as view:
                position = (await view.changes(sample.job)).position
                await store.commit(records)
                await store.commit([*ends[0], *ends[1]])
                runs = [sample.run_number(n) for n in (1, 2)]
                assert (await view.changes(sample.job, position)).runs == runs
                assert await view.records(runs[0]) == [*records, done[0]]
                for after, limit, found in (
                    (0, 2, records), (0, 3, [*records, done[0]]), (1, 2, [records[1], done[0]]),
                    (2, 1, [done[0]]), (2, 5, [done[0]]), (3, 1, []), (3, None, []), (9, 2, []),
                ):  # fmt: skip
                    assert await view.records(runs[0], after=after, limit=limit) == found
                assert await view.records(runs[1], after=1) == []
                assert await view.records(runs[1], limit=1) == [done[1]]

    @on_a_loop
    async def test_a_run_that_ends_with_an_output_is_new(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1), sample.record(1, 1)])
            async with store.view() as view:
                position = (await view.changes(sample.job)).position
                await store.commit(sample.end(1, 1))
                found = await view.changes(sample.job, position)
                assert (found.runs, found.statuses) == ([sample.run_number(1)], True)
                again = await view.changes(sample.job, found.position)
                assert (again.runs, again.statuses, again.lost) == ([], False, False)

    @on_a_loop
    async def test_what_comes_after_the_end_of_a_run_is_behind_it(self) -> None:
        async with self.opened() as (store, sample):
            run, before = sample.run_number(1), [sample.record(1, n) for n in (1, 2)]
            end = sample.end(1, 1)
            after = [Record.signal(run, f"late {n}", b"v", at=30 + n) for n in (1, 2)]
            journal = [*before, end[0], *after]
            await store.commit([sample.key(1), sample.run(1), *before])
            await store.commit([sample.record(2, 1), *end])
            async with store.view() as view:
                for count in (3, 4, 5):
                    if count > 3:
                        await store.commit([after[count - 4], sample.record(2, count)])
                    told = journal[:count]
                    assert await view.records(run) == told
                    assert (await store.records([run]))[run] == told
                    for first in range(count + 1):
                        for limit in range(1, count + 2):
                            found = await view.records(run, after=first, limit=limit)
                            assert found == told[first : first + limit]

    # What belongs to runs and keys

    @on_a_loop
    async def test_a_view_has_outputs_in_commit_order(self) -> None:
        async with self.opened() as (store, sample):
            rows = [sample.output(2, 1), sample.output(1, 1), sample.output(2, 2)]
            await store.commit([sample.key(1), sample.run(1), sample.run(2), rows[0]])
            await store.commit(rows[1:])
            await store.commit([DeliveredRow(run=rows[1].run, number=1)])
            stored = [sample.stored(row, delivered=int(row is rows[1])) for row in rows]
            async with store.view() as view:
                for limit in (1, 2, 9):
                    found = await pages(functools.partial(view.outputs, sample.job, limit=limit))
                    assert found == stored
                    of_run = await pages(
                        functools.partial(view.outputs, sample.job, run=rows[0].run, limit=limit)
                    )
                    assert of_run == [stored[0], stored[2]]

    @on_a_loop
    async def test_a_view_has_the_memory_of_a_key(self) -> None:
        async with self.opened() as (store, sample):
            rows = [sample.memory(1, path, b"1") for path in ("", "a", "a.b", "ä")]
            gone = sample.memory(1, "gone", b"1")
            await store.commit([sample.key(1), sample.key(2), gone, *rows[::-1]])
            await store.commit([sample.memory(1, "gone", None), sample.memory(2, "a", b"2")])
            async with store.view() as view:
                key = await view.key(sample.job, sample.key(1).digest)
                assert key == sample.key(1)
                for limit in (1, 3, 9):
                    found = await pages(functools.partial(view.memory, key.key, limit=limit))
                    assert found == rows
                assert await view.key(sample.job, b"unknown") is None

    @on_a_loop
    async def test_a_view_has_the_documents(self) -> None:
        async with self.opened() as (store, sample):
            rows = [document(sample, f"id {n}") for n in range(3)]
            deleted = document(sample, "id 1")._replace(content=None)
            await store.commit([*rows, document(sample, "x", collection="ä b"), deleted])
            kept = [row._replace(embedding=None) for row in (rows[0], rows[2])]
            async with store.view() as view:
                for limit in (1, 9):
                    found = await pages(
                        functools.partial(view.collections, sample.job, limit=limit)
                    )
                    assert [(each.name, each.size) for each in found] == [("c", 2), ("ä b", 1)]
                    documents = await pages(
                        functools.partial(view.documents, sample.job, "c", limit=limit)
                    )
                    assert documents == kept
                assert (await view.documents(sample.job, "none")).items == []

    # The inbox

    @on_a_loop
    async def test_g22_a_command_is_left_for_the_owner(self) -> None:
        async with self.opened() as (store, sample):
            assert await store.commands() == []
            await store.commit([sample.key(1), sample.run(1), sample.run(2)])
            async with store.view() as view:
                left = [command(sample, n, what) for n, what in ((2, "retry"), (1, "cancel"))]
                await view.leave_commands(left)
                await view.leave_commands([])
                taken = await store.commands()
                assert taken is not None
                assert [each[1:4] for each in taken] == [
                    (row.run, row.command, row.payload) for row in left
                ]
                for limit in (1, 9):
                    found = await pages(functools.partial(view.commands, sample.job, limit=limit))
                    assert found == taken
                run = sample.run_number(1)
                assert (await view.commands(sample.job, run=run)).items == [taken[1]]
                await store.commit([CommandDoneRow(number=taken[0].number)])
                assert (await view.commands(sample.job)).items == [taken[1]]

    @on_a_loop
    async def test_commands_are_left_all_or_none(self) -> None:
        async with self.opened() as (store, sample):
            async with store.view() as view:
                bad = command(sample, 2, "retry")._replace(at=1 << 70)
                left = view.leave_commands([command(sample, 1, "retry"), bad])
                assert isinstance(await refusal(left), StoreError)
                assert (await view.commands(sample.job)).items == []
                await view.leave_commands([command(sample, 1, "retry")])
                assert len((await view.commands(sample.job)).items) == 1


async def pages(page: Callable[..., Coroutine[Any, Any, Page[T]]]) -> list[T]:
    """Return a whole list; only the last page may be empty."""
    found, after = await page(after="")
    while after:
        assert after.isascii(), f"{after!r} must go into an address"
        assert after.isprintable()
        more, after = await page(after=after)
        assert more or not after
        found = [*found, *more]
    return found


async def numbers(view: StoreView, sample: SampleRows, **options: Any) -> list[int]:
    """Return the runs that a view lists, counted from 1."""
    page = await view.runs(sample.job, **options)
    return [head.row.run - sample.run_number(0) for head in page.items]


def command(sample: SampleRows, n: int, what: str) -> CommandRow:
    """Return a command for the `n`-th new run."""
    return CommandRow(job=sample.job, run=sample.run_number(n), command=what, payload=b"\0", at=n)


def document(sample: SampleRows, id_: str, *, collection: str = "c") -> DocumentRow:
    """Return a document with an embedding."""
    return DocumentRow(
        job=sample.job, collection=collection, id=id_, content="text", metadata="{}",
        embedding=b"\0\0\x80?",
    )  # fmt: skip


def everything(sample: SampleRows, first: int = 1) -> list[Row]:
    """Return one row of each kind that a view shows."""
    return [
        sample.key(first), sample.run(first, key=first), sample.record(first, 1),
        sample.output(first, 1), command(sample, first, "cancel"), document(sample, f"{first}"),
    ]  # fmt: skip
