"""The part of StoreContract that is about whose a job is, its generations and its files."""

from __future__ import annotations

from perdure.errors import ConfigurationError, StoreError
from perdure.store.base import JobAgent, SinkRow
from perdure.store.files import SINK, SOURCE, FileRow
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop, refusal
from perdure.testing.sample_rows import COMPLETED, SampleRows

__all__ = ["GenerationContract"]


class GenerationContract(ContractStores):
    """Tests of what a job is besides its runs; see StoreContract."""

    @on_a_loop
    async def test_the_agent_of_a_job_is_known_when_it_is_next_open(self) -> None:
        store = self.make_store()
        before = None
        given = [
            None, JobAgent("Öne", "1"), None, JobAgent("Öne", "2"), JobAgent("Öne", ""),
            JobAgent("other", ""), JobAgent("other", "3"), JobAgent("\ud800", "3"),
        ]  # fmt: skip
        for agent in given:
            info = await store.open("a", agent)
            assert info.agent == before
            await store.close()
            store = self.reopen(store)
            if agent is not None and agent != JobAgent("Öne", ""):  # nobody knows its source
                before = JobAgent(agent.name.replace("\ud800", "\\ud800"), agent.source)
        assert (await store.open("b", given[1])).agent is None
        await store.close()

    @on_a_loop
    async def test_another_generation_has_nothing_of_those_before(self) -> None:
        store = self.make_store()
        numbers = []
        for generation in (1, 2, 3):
            info = await store.open("a", JobAgent("agent", "1"), fresh=True)
            assert (info.generation, info.agent) == (generation, None)
            assert info.last_run == info.last_key == info.job << 40
            assert await store.inputs("", ["id"]) == {}
            sample = SampleRows(info)
            done = sample.run(1)._replace(status=COMPLETED)
            await store.commit([sample.key(1), done, sample.input("id", 1)])
            await store.close()
            store = self.reopen(store)
            numbers.append(info.job)
            for _ in range(2):  # it stays until another begins
                info = await store.open("a")
                assert (info.job, info.generation) == (numbers[-1], generation)
                assert await store.keys([sample.key(1).digest]) != {}
                assert await store.inputs("", ["id"]) != {}
                await store.close()
                store = self.reopen(store)
        assert len(set(numbers)) == 3
        async with store.view() as view:
            names = ("a", "a@1", "a@2", "a@3")
            jobs = [await view.job(name) for name in names]
            assert [job and job.job for job in jobs] == [numbers[2], *numbers]
            assert [job and (job.name, job.generation, job.later) for job in jobs] == [
                ("a", 3, 0), ("a", 1, 2), ("a", 2, 1), ("a", 3, 0),
            ]  # fmt: skip
            assert await view.job("a@4") is await view.job("b@1") is None
            first = await view.jobs(limit=2)
            rest = await view.jobs(after=first.after, limit=2)
            assert [*first.items, *rest.items] == jobs[1:]

    @on_a_loop
    async def test_a_generation_without_runs_is_another_one_already(self) -> None:
        async with self.opened(job="a") as (store, sample):
            pass
        again = self.reopen(store)
        assert (await again.open("a", fresh=True)).job == sample.job
        await again.close()

    @on_a_loop
    async def test_a_job_with_unfinished_runs_does_not_begin_anew(self) -> None:
        async with self.opened(job="a") as (store, sample):
            await store.commit([sample.key(1), sample.run(1), sample.run(2)])
        again = self.reopen(store)
        error = await refusal(again.open("a", fresh=True))
        assert type(error) is StoreError
        assert "2 unfinished runs" in str(error)
        async with self.opened(again, "a") as (_, same):
            assert same.job == sample.job

    @on_a_loop
    async def test_a_generation_is_not_opened_by_its_number(self) -> None:
        async with self.opened(job="a") as (store, _):
            pass
        again = self.reopen(store)
        for name in ("a@1", "a@2", "a\x1f000002"):
            assert isinstance(await refusal(again.open(name)), ConfigurationError)
            assert isinstance(await refusal(again.open(name, fresh=True)), ConfigurationError)
        async with again.view() as view:
            assert [job.name for job in (await view.jobs()).items] == ["a"]

    @on_a_loop
    async def test_the_files_that_have_outputs_are_seen(self) -> None:
        async with self.opened() as (store, sample), store.view() as view:
            files = [
                FileRow(sample.job, kind, name, f"/{name}", name)
                for kind in (SINK, SOURCE)
                for name in ("one", "two", "zero")
            ]
            await store.commit(
                [
                    *reversed(files), SinkRow(sample.job, "zero", 5, 5),
                    SinkRow(sample.job, "two", 5, 6), SinkRow(sample.job, "one", 0, 6),
                ]
            )  # fmt: skip
            assert await view.sink_files(sample.job) == files[:2]
            assert await view.sink_files(sample.job + 1) == []
