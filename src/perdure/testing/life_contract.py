"""The part of StoreContract that is about the processes that had a job."""

from __future__ import annotations

import os
import time

from perdure.store.base import JobAgent
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop
from perdure.testing.sample_rows import COMPLETED, SampleRows

__all__ = ["LifeContract"]


class LifeContract(ContractStores):
    """Tests of how a store knows the processes that had a job; see StoreContract."""

    @on_a_loop
    async def test_a_process_is_known_from_its_first_commit_to_its_end(self) -> None:
        before = time.time_ns()
        store = self.make_store()
        sample = SampleRows(await store.open(self.job, JobAgent("Agent", "c0ffee")))
        async with store.view() as view:
            assert (await view.lives(sample.job)).items == []
            await store.commit([sample.key(1), sample.run(1)])
            (life,) = (await view.lives(sample.job)).items
            assert (life.job, life.pid, life.code) == (sample.job, os.getpid(), "c0ffee")
            assert life.host
            assert before <= life.begun_at <= life.seen_at <= time.time_ns()
            assert life.ended_at is None
            await store.commit([sample.run(2)])
            assert (await view.lives(sample.job)).items == [life]
        await store.close()
        async with self.opened(store, "other") as (other, of_other), other.view() as view:
            await other.commit([of_other.key(1), of_other.run(1)])
            (ended,) = (await view.lives(sample.job)).items
            assert ended.ended_at is not None
            assert life.seen_at <= ended.ended_at == ended.seen_at <= time.time_ns()
            assert [each.job for each in (await view.lives(of_other.job)).items] == [of_other.job]

    @on_a_loop
    async def test_processes_are_known_in_the_order_in_which_they_had_the_job(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([sample.key(1), sample.run(1)])
        async with self.opened(store) as (again, _), again.view() as view:
            await again.commit([sample.status(1, COMPLETED)])
            first, second = (await view.lives(sample.job)).items
            assert (first.ended_at is None, second.ended_at is None) == (False, True)
            assert first.life < second.life
            page = await view.lives(sample.job, limit=1)
            assert page.items == [first]
            assert (await view.lives(sample.job, after=page.after)).items == [second]
        async with self.opened(store) as (idle, _), idle.view() as view:
            assert len((await view.lives(sample.job)).items) == 2
