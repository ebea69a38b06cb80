"""The part of StoreContract that is about START records and what follows them.

A store may keep both in one row; whoever reads finds the records that were written.
"""

from __future__ import annotations

from perdure.journal.record import Record, RecordKind
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop

__all__ = ["StartContract", "StartViewContract"]

RUNNING = 2  # as a view shows a run that has begun


class StartContract(ContractStores):
    """Tests of START records as the owner of a job reads them; see StoreContract."""

    @on_a_loop
    async def test_g14_a_start_is_read_as_it_was_written(self) -> None:
        async with self.opened() as (store, sample):
            run = sample.run_number(1)
            written: list[Record] = []
            for n, kind in enumerate(RecordKind):
                start = Record.start(run, n, "act", version=n, at=5 + n, rules=n % 3 or None)
                then = sample.record(1, n, kind=kind)._replace(event=n)
                other = Record.start(run, n, "other", version=0, at=0)
                rows = [start, then, other, then._replace(n=9), start, start, then]
                await store.commit(rows)
                written += rows
            for each in (Record.start(run, 99, "act", version=1, at=2), sample.record(1, 99)):
                await store.commit([each])  # not in one commit
                written.append(each)
            assert (await store.records([run]))[run] == written
        async with self.opened(store) as (again, _):
            assert (await again.records([run]))[run] == written


class StartViewContract(ContractStores):
    """Tests of START records as they are seen from outside; see StoreContract."""

    @on_a_loop
    async def test_g14_a_view_pages_through_starts_and_what_follows_them(self) -> None:
        async with self.opened() as (store, sample):
            run = sample.run_number(1)
            records: list[Record] = []
            await store.commit([sample.key(1), sample.run(1)])
            for n in range(4):
                start = Record.start(run, n, "act", version=n, at=5, rules=1)
                then = sample.record(1, 1)._replace(event=n)
                await store.commit([start, then])
                await store.commit([then._replace(n=2)])
                records += [start, then, then._replace(n=2)]
            async with store.view() as view:
                assert (await view.heads([run]))[run].row.status == RUNNING
                for after in range(len(records) + 2):
                    assert await view.records(run, after=after) == records[after:]
                    for limit in (1, 2, 5):
                        page = await view.records(run, after=after, limit=limit)
                        assert page == records[after : after + limit]

    @on_a_loop
    async def test_a_run_that_was_put_back_has_begun_when_an_action_starts_again(self) -> None:
        async with self.opened() as (store, sample):
            run = sample.run_number(1)
            start = Record.start(run, 0, "act", version=0, at=5)
            then = sample.record(1, 1)._replace(event=0)
            put_back = sample.run(1)._replace(attempt=1)
            await store.commit([sample.key(1), put_back, start, then])
            await store.commit([Record.retry(run, attempt=1, at=6)])
            async with store.view() as view:
                assert (await view.heads([run]))[run].row.status == put_back.status
                await store.commit([start, then])
                assert (await view.heads([run]))[run].row.status == RUNNING
