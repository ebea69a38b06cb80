"""`run.outputs()`: what the process has just committed is given from memory, and is the same.

Outputs are kept while somebody holds the `Run`, within a bound; whatever is not there is read from
the store. Both ways give the same (G3, G4, G5).
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.promises.support import State, agent_of, hold, out, values

from perdure import LocalEngine, RunCancelledError
from perdure.engine.job import Job, Run
from perdure.errors import StoreError
from perdure.runtime.shared import kept_outputs
from perdure.store.base import OutputRow, Row
from perdure.store.sqlite.store import SqliteStore

SENT = [[0, "a"], {"n": 1}, "two"]


async def sends_three(event: Any, ctx: Any) -> None:
    for each in SENT:
        out(ctx, each)


async def sends_or_waits(event: Any, ctx: Any) -> None:
    if event.input["k"] == "waits":
        out(ctx, await ctx.durable_execute_async(hold))
    else:
        out(ctx, "sent")


async def fails(event: Any, ctx: Any) -> None:
    out(ctx, "never seen")
    raise LookupError("lost")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the stores about single runs."""
    asked: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        real = getattr(SqliteStore, name)

        async def method(self: SqliteStore, runs: Sequence[int]) -> Any:
            asked.append(name)
            return await real(self, runs)

        return method

    for name in ("runs", "outputs"):
        monkeypatch.setattr(SqliteStore, name, noting(name))
    return asked


def in_job(store: str, action: Any, work: Callable[[Job], Any], **options: Any) -> Any:
    async def opened() -> Any:
        async with LocalEngine(store, **options).open(agent_of(action)) as job:
            return await work(job)

    return asyncio.run(opened())


def test_g5_outputs_of_this_process_are_not_read_from_the_store(
    store: str, reads: list[str]
) -> None:
    async def work(job: Job) -> None:
        run = await job.submit({"k": "a"}, key="a")
        reads.clear()
        found = await run.outputs()
        assert values(found) == SENT
        assert [(o.key, o.run_id) for o in found] == [("a", run.id)] * 3
        assert reads == []

    in_job(store, sends_three, work)


def test_g5_each_reader_gets_values_of_its_own(store: str) -> None:
    async def work(job: Job) -> None:
        run = await job.submit({"k": "a"}, key=["a"])
        for _ in range(2):
            found = await run.outputs()
            assert values(found) == SENT
            assert found[0].key == ["a"]
            found[0].value.append("changed")
            found[0].key.append("changed")
            found.clear()

    in_job(store, sends_three, work)


def test_g4_memory_and_store_say_the_same(store: str, reads: list[str]) -> None:
    async def work(job: Job) -> None:
        run = await job.submit({"k": "a"}, key="a", id="one")
        kept = await run.outputs()
        late = await job.submit({"k": "a"}, key="a", id="one")  # it has ended: nothing is kept
        reads.clear()
        assert await late.outputs() == kept
        assert "outputs" in reads

    in_job(store, sends_three, work)


def test_g4_beyond_the_bound_outputs_are_read_from_the_store(
    store: str, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 3 * (kept_outputs.OUTPUT_BYTES + 30)  # for one run's, not for another's
    monkeypatch.setattr(kept_outputs.OutputKeeper.__init__, "__defaults__", (room,))

    async def work(job: Job) -> None:
        first = await job.submit({"k": "a"}, key="a")
        found = await first.outputs()
        second = await job.submit({"k": "b"}, key="b")
        assert values(await second.outputs()) == SENT
        reads.clear()
        assert await first.outputs() == found
        assert reads == []
        assert values(await second.outputs()) == SENT
        assert reads == ["runs", "outputs"]
        del first
        gc.collect()
        third = await job.submit({"k": "c"}, key="c")  # there is room again
        reads.clear()
        assert values(await third.outputs()) == SENT
        assert reads == []

    in_job(store, sends_three, work)


def test_outputs_are_let_go_with_the_last_handle(store: str) -> None:
    async def work(job: Job) -> None:
        run: Run | None = await job.submit({"k": "a"}, key="a")
        assert run is not None
        assert run._kept is not None
        await run.outputs()
        kept = weakref.ref(run._kept)
        run = None
        assert kept() is None

    in_job(store, sends_three, work)


def test_g4_a_handle_made_later_reads_what_it_has_missed(store: str) -> None:
    async def sends_and_rests(event: Any, ctx: Any) -> None:
        await ctx.wait_for_signal("go")
        out(ctx, "end")

    async def sends_first(event: Any, ctx: Any) -> None:
        out(ctx, "begin")

    async def opened() -> None:
        agent = agent_of(sends_first).add_action("rests", ["_input_event"], sends_and_rests)
        async with LocalEngine(store).open(agent) as job:
            id_ = (await job.submit({"k": "a"}, key="a")).id
            while job.progress.outputs < 1:
                await asyncio.sleep(0.001)
            while not (waiting := list(job.waiting_runs())):
                await asyncio.sleep(0.001)
            assert [run.id for run in waiting] == [id_]
            await job.signal(id_, "go")
            assert values(await waiting[0].outputs()) == ["begin", "end"]

    asyncio.run(opened())


def test_g9_each_reader_of_a_failed_run_gets_an_error_of_its_own(store: str) -> None:
    async def work(job: Job) -> None:
        run = await job.submit({"k": "a"}, key="a")
        errors = []
        for _ in range(2):
            with pytest.raises(LookupError, match="lost") as caught:
                await run.outputs()
            errors.append(caught.value)
        assert errors[0] is not errors[1]

    in_job(store, fails, work)


def test_g4_a_cancelled_run_has_no_outputs_to_give(store: str) -> None:
    async def work(job: Job) -> None:
        run = await job.submit({"k": "waits"}, key="a")
        reading = asyncio.ensure_future(run.outputs())
        await State.gate.reached.wait()
        assert await run.cancel()
        with pytest.raises(RunCancelledError):
            await reading

    in_job(store, sends_or_waits, work)


def test_g3_a_retried_run_shows_each_output_once(store: str) -> None:
    tried = []

    async def second_time(event: Any, ctx: Any) -> None:
        tried.append(event.id)
        out(ctx, "second")
        if len(tried) == 1:
            await asyncio.sleep(0.05)  # the other has completed
            raise ConnectionError("once")

    async def opened() -> None:
        agent = agent_of(sends_three).add_action("again", ["_input_event"], second_time)
        config = {"error-handling-strategy": "retry", "retry-wait-interval": 0.01}
        async with LocalEngine(store, config=config).open(agent) as job:
            run = await job.submit({"k": "a"}, key="a")
            assert values(await run.outputs()) == [*SENT, "second"]

    asyncio.run(opened())
    assert len(tried) == 2


def test_who_no_longer_waits_does_not_stop_others(store: str) -> None:
    async def work(job: Job) -> None:
        run = await job.submit({"k": "waits"}, key="a")
        reading = asyncio.ensure_future(run.outputs())
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run.wait(), 0.01)
        assert run._ticket is not None
        assert len(run._ticket._waiters or ()) == 1
        State.gate.release()
        assert values(await reading) == ["held"]

    in_job(store, sends_or_waits, work)


def test_g5_outputs_are_seen_when_they_are_durable(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SqliteStore.commit
    held: list[asyncio.Future[None]] = []

    def holding(self: SqliteStore, rows: Sequence[Row]) -> asyncio.Future[None]:
        if not any(isinstance(row, OutputRow) for row in rows):
            return commit(self, rows)
        held.append(asyncio.get_running_loop().create_future())

        async def later() -> None:
            await held[-1]
            await commit(self, rows)

        return asyncio.ensure_future(later())

    monkeypatch.setattr(SqliteStore, "commit", holding)

    async def work(job: Job) -> None:
        run = await job.submit({"k": "a"}, key="a")
        reading = asyncio.ensure_future(run.outputs())
        while not held:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert not reading.done()
        held[0].set_result(None)
        assert values(await reading) == SENT

    in_job(store, sends_three, work)


def test_g25_outputs_of_a_commit_that_was_written_and_failed_are_there_once(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SqliteStore.commit
    failed: list[int] = []

    def failing(self: SqliteStore, rows: Sequence[Row]) -> asyncio.Future[None]:
        if failed or not any(isinstance(row, OutputRow) for row in rows):
            return commit(self, rows)
        failed.append(len(rows))

        async def written_but_lost() -> None:
            await commit(self, rows)
            raise StoreError("nobody knows")

        return asyncio.ensure_future(written_but_lost())

    monkeypatch.setattr(SqliteStore, "commit", failing)

    async def work(job: Job) -> None:
        run = await job.submit({"k": "a"}, key="a")
        assert values(await run.outputs()) == SENT

    in_job(sqlite, sends_three, work)
    assert failed
