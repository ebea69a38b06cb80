"""The part of StoreContract that is about what is new in a job."""

from __future__ import annotations

from perdure.errors import StoreError
from perdure.store.base import Row, StoreView
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop, refusal
from perdure.testing.sample_rows import CANCELLED, COMPLETED, FAILED, QUEUED, WAITING, SampleRows
from perdure.testing.view_contract import command, everything

__all__ = ["ChangeContract"]


class ChangeContract(ContractStores):
    """Tests of what a view says is new; see StoreContract."""

    @on_a_loop
    async def test_changes_name_what_is_new(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1), sample.run(2)])
            async with store.view() as view:
                watch = Watch(view, sample)
                assert await watch.new() == ([], False)
                await store.commit([sample.record(2, 1), sample.record(2, 2)])
                assert await watch.new() == ([2], False)
                assert await watch.new() == ([], False)
                await store.commit([sample.run(3), sample.record(1, 1)])
                assert await watch.new() == ([1, 3], True)
                await view.leave_commands([command(sample, 2, "cancel")])
                assert await watch.new() == ([2], False)
                assert await watch.new() == ([], False)

    @on_a_loop
    async def test_changes_miss_no_status(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), *(sample.run(n) for n in range(1, 6))])
            async with store.view() as view:
                watch = Watch(view, sample)
                await watch.new()
                for n, status in enumerate((WAITING, COMPLETED, FAILED, CANCELLED), 1):
                    await store.commit([sample.status(n, status)])
                    assert await watch.new() == ([], True)
                    assert await watch.new() == ([], False)
                await store.commit([sample.status(1, QUEUED)])
                assert await watch.new() == ([], True)
                # One ends as another comes: the number of those that are unfinished is the same.
                await store.commit([sample.status(1, COMPLETED), sample.status(3, QUEUED)])
                assert await watch.new() == ([], True)

    @on_a_loop
    async def test_a_position_holds_in_another_view_after_reopening(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1)])
            async with store.view() as view:
                position = (await view.changes(sample.job)).position
            await store.commit([sample.record(1, 1)])
        async with self.opened(store) as (again, _), again.view() as view:
            found = await view.changes(sample.job, position)
            assert (found.runs, found.lost) == ([sample.run_number(1)], False)
            assert not set(found.position) & set(" \n\r\0"), "it goes into a header"
            assert found.position.isascii()

    @on_a_loop
    async def test_changes_are_those_of_the_job(self) -> None:
        async with self.opened(job="one") as (store, one):
            await store.commit(everything(one))
            async with store.view() as view:
                position = (await view.changes(one.job)).position
        async with self.opened(store, job="two") as (store, two):
            await store.commit(everything(two))
            async with store.view() as view:
                found = await view.changes(one.job, position)
                assert (found.runs, found.statuses, found.lost) == ([], False, False)
                assert isinstance(await refusal(view.changes(99)), StoreError)

    @on_a_loop
    async def test_a_position_that_is_gone_is_lost(self) -> None:
        async with self.opened() as (store, sample):
            async with store.view() as view:
                before = (await view.changes(sample.job)).position
                rows: list[Row] = [sample.run(n) for n in range(1, 5)]
                await store.commit([sample.key(1), *rows])
                assert (await view.changes(sample.job, before, limit=3)).lost
                found = await view.changes(sample.job, before, limit=4)
                assert (len(found.runs), found.lost) == (4, False)
                below = before.replace(".", ".-f", 2)
                for nonsense in ("1", "a.b.c", "ffffffff" + before, before + "0.0", below):
                    lost = await view.changes(sample.job, nonsense)
                    assert (lost.lost, lost.runs, lost.position) == (True, [], found.position)


class Watch:
    """Asks a view again and again what is new in a job."""

    def __init__(self, view: StoreView, sample: SampleRows) -> None:
        self._view, self._sample = view, sample
        self._position = ""

    async def new(self) -> tuple[list[int], bool]:
        """Return the runs, counted from 1, and whether statuses have changed."""
        found = await self._view.changes(self._sample.job, self._position)
        assert not found.lost
        self._position = found.position
        return [run - self._sample.run_number(0) for run in found.runs], found.statuses
