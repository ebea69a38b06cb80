"""The part of StoreContract that is about what a view counts."""

from __future__ import annotations

from perdure.journal.record import RecordKind
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop
from perdure.testing.sample_rows import COMPLETED, FAILED, QUEUED, WAITING

__all__ = ["CountContract"]

MINUTE = 60 * 10**9


class CountContract(ContractStores):
    """Tests of how a view counts runs, failures and calls; see StoreContract."""

    @on_a_loop
    async def test_runs_are_counted_as_they_stand_whenever_it_is_asked(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            assert await view.counts(sample.job) == {}
            await store.commit([sample.key(1), *(sample.run(n) for n in (1, 2, 3))])
            assert await view.counts(sample.job) == {QUEUED: 3}
            await store.commit([sample.run(4), sample.status(1, COMPLETED)])
            await store.commit([sample.status(2, FAILED), sample.status(3, WAITING)])
            counts = {QUEUED: 1, WAITING: 1, COMPLETED: 1, FAILED: 1}
            assert await view.counts(sample.job) == counts
            await store.commit([sample.status(n, COMPLETED) for n in (2, 3, 4)])
            assert await view.counts(sample.job) == {COMPLETED: 4}
            assert await view.counts(sample.job + 1) == {}

    @on_a_loop
    async def test_failures_since_a_time_are_counted_of_the_newest(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            ends = {1: 10, 2: 30, 3: 20, 4: 40}
            await store.commit([sample.key(1), *(sample.run(n) for n in ends)])
            await store.commit(
                [sample.status(n, FAILED)._replace(finished_at=at) for n, at in ends.items()]
            )
            for since, limit, count in ((0, 9, 4), (20, 9, 3), (41, 9, 0), (20, 2, 2), (30, 3, 2)):
                assert await view.count_failed(sample.job, since, limit=limit) == count
            assert await view.count_failed(sample.job + 1, 0, limit=9) == 0

    @on_a_loop
    async def test_calls_are_counted_by_minute_piece_by_piece(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            empty = await view.settled(sample.job)
            assert (empty.minutes, empty.first) == ([], 0)
            kinds = [RecordKind.RESULT, RecordKind.ERROR, RecordKind.COMPLETED, RecordKind.RESULT]
            ats = [MINUTE, 2 * MINUTE - 1, 2 * MINUTE, 3 * MINUTE]
            records = [
                sample.record(1, n, kind=kind)._replace(at=at)
                for n, (kind, at) in enumerate(zip(kinds, ats, strict=True), 1)
            ]
            await store.commit([sample.key(1), sample.run(1), *records])
            whole = await view.settled(sample.job)
            assert (whole.minutes, whole.first) == ([(1, 1, 1), (2, 0, 0), (3, 1, 0)], 0)
            newer = await view.settled(sample.job, limit=2)
            assert (newer.minutes, newer.last) == ([(2, 0, 0), (3, 1, 0)], whole.last)
            older = await view.settled(sample.job, until=newer.first, limit=9)
            assert older.minutes == [(1, 1, 1)]
            assert (older.first, older.last) == (0, newer.first)
            assert (await view.settled(sample.job, after=whole.last)).minutes == []
            new = sample.record(1, 5, kind=RecordKind.ERROR)._replace(at=9 * MINUTE)
            await store.commit([new])
            assert (await view.settled(sample.job, after=whole.last)).minutes == [(9, 0, 1)]
            other = await view.settled(sample.job + 1)
            assert (other.minutes, other.first) == ([], 0)
