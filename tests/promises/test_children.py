"""G1, G2, G3, G8, G10, G20: an action starts runs: exactly once, and independent of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.inside import commits_of, executions_of
from tests.promises.legs import (
    KINDS,
    Legs,
    action_for,
    agent_for,
    children_of,
    family,
    go,
    results,
    until,
)
from tests.promises.support import COROUTINE, SECONDS, State, echo, hold, out, values
from tests.zygote import Forked

from perdure import Agent, InputEvent, LocalEngine, RunStatus
from perdure.errors import EncodeError, RunsFailedError

# Once


def starts_and_ends(event: Any, ctx: Any) -> Any:
    ctx.submit("first", key=1)
    ctx.submit("second", key=2)
    yield from ()


def starts_later_and_ends(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(echo, 1)
    ctx.submit("first", key=1)
    ctx.submit("second", key=2)


@pytest.mark.parametrize("steps", [starts_and_ends, starts_later_and_ends])
def test_g2_children_run_though_nobody_awaits_their_submission(
    steps: Any, kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(family(kind, steps)) as job:
            parent = await job.submit({}, key="parent")
            await parent.wait()
            assert children_of(legs) == ["first", "second"]  # when the parent has completed
        assert {info.status for info in legs.engine.runs()} == {RunStatus.COMPLETED}

    go(test)


def starts_one(event: Any, ctx: Any) -> Any:
    child = yield ctx.submit("one", key=1)
    yield ctx.durable_execute_async(hold)
    again = yield ctx.submit("one", key=1)
    out(ctx, [child.id, again.id])


def test_g2_a_child_started_before_a_crash_is_not_started_again(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = family(kind, starts_one)
        async with legs.crashing(agent) as job:
            await job.submit({}, key="parent", id=1)
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            assert children_of(legs) == ["one"]
        async with legs.opened(agent) as job:
            parent = await job.submit({}, key="parent", id=1)
            (ids,) = await results(parent)
        assert children_of(legs) == ["one", "one"]
        children = [info.id for info in legs.engine.runs(key=1)]
        assert sorted(ids) == sorted(children)

    go(test)


@pytest.mark.parametrize("held", [0, 1, 2, 3, 4], ids="after {} commits".format)
@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_g2_a_crash_at_any_commit_leaves_one_child(
    kind: str, awaited: bool, held: int, store: str
) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        call = ctx.submit("one", key=1)
        if awaited:
            yield call
            out(ctx, "done")

    async def test() -> None:
        legs = Legs(store, kind)
        agent = family(kind, steps)
        async with legs.crashing(agent) as job:
            commits = commits_of(job)
            before = commits.commits
            await job.submit({}, key="parent", id=1)
            flush, commits._flush = commits._flush, lambda: None  # type: ignore[method-assign]
            for _ in range(held):
                await asyncio.sleep(0.01)
                if commits._busy and not commits._finished:
                    flush()
            await asyncio.sleep(0.02)
            assert commits.commits >= before
            for execution in executions_of(job):
                execution.dropped = True  # as if the process had died here
            commits._pending.clear()
            commits._busy = False
            del commits._flush
        async with legs.opened(agent) as job:
            parent = await job.submit({}, key="parent", id=1)
            await parent.wait()
        assert children_of(legs) == ["one"]
        assert {info.status for info in legs.engine.runs()} == {RunStatus.COMPLETED}

    go(test)


KILLED = """
import os, signal, sys
from tests.promises.test_children import killed_agent
from perdure import LocalEngine
store, n = sys.argv[1], int(sys.argv[2])
engine = LocalEngine(store)
commit = engine._store.commit
count = 0
def dying(rows):
    global count
    count += 1
    if count > n:
        os.kill(os.getpid(), signal.SIGKILL)
    return commit(rows)
engine._store.commit = dying
engine.run(killed_agent, [{"k": "parent"}], key="k")
print("done", flush=True)
"""


def _killed_steps(event: Any, ctx: Any) -> Any:
    ctx.submit("unawaited", key=1)
    child = yield ctx.submit("awaited", key=2)
    seen = yield child.outputs()
    out(ctx, values(seen))


killed_agent = family(COROUTINE, _killed_steps)


def test_g2_children_of_a_process_killed_at_each_of_its_commits(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    started = []
    for n in range(1, 8):
        url = f"sqlite:///{tmp_path / f'{n}.db'}"
        command = [sys.executable, "-c", KILLED, url, str(n)]
        process = Forked(command, cwd=root)
        started.append((url, process))
        if n % 2:
            process.wait(timeout=SECONDS)
    ends = set()
    for url, process in started:
        output, _ = process.communicate(timeout=SECONDS)
        ends.add(output)
        engine = LocalEngine(url)
        outputs = engine.run(killed_agent, [{"k": "parent"}], key="k")
        assert values(outputs) == [[["child", "awaited"]]]
        infos = engine.runs()
        inputs = [info.input for info in infos if info.key != "parent"]
        assert sorted(inputs) == ["awaited", "unawaited"]
        assert {info.status for info in infos} == {RunStatus.COMPLETED}
    assert "" in ends  # some were killed


@pytest.mark.parametrize("kind", KINDS)
def test_g2_a_retried_parent_does_not_start_its_children_again(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        child = yield ctx.submit("one", key=1)
        ctx.submit("two", key=2)
        yield child.outputs()
        if State.leg == 1:
            raise LookupError
        out(ctx, child.id)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(family(kind, steps)) as job:
            parent = await job.submit({}, key="parent", id=1)
            assert await parent.wait() is RunStatus.FAILED
            State.leg = 2
            legs.engine.retry(parent.id)
            done = RunStatus.COMPLETED
            await until(lambda: legs.engine.run_info(parent.id).status is done)
        assert sorted(children_of(legs)) == ["one", "two"]

    go(test)


# What cannot be kept


def test_g8_a_child_that_cannot_be_kept_is_refused(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        with pytest.raises(EncodeError):
            ctx.submit(object(), key=1)
        with pytest.raises(EncodeError):
            ctx.submit(1, key=object())
        yield ctx.sleep(0)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(family(kind, steps)) as job:
            parent = await job.submit({}, key="parent")
            assert await parent.wait() is RunStatus.COMPLETED
        assert children_of(legs) == []

    go(test)


# Independent


def starts_and_hangs(event: Any, ctx: Any) -> Any:
    child = yield ctx.submit("wait", key=1)
    yield child.outputs()


@pytest.mark.parametrize("kind", KINDS)
def test_g10_a_child_goes_on_when_its_parent_is_cancelled(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(family(kind, starts_and_hangs)) as job:
            parent = await job.submit({}, key="parent")
            await until(lambda: legs.engine.runs(key=1))
            await until(lambda: "wait" in State.calls)
            (info,) = legs.engine.runs(key=1)
            await parent.cancel()
            assert await asyncio.wait_for(parent.wait(), SECONDS) is RunStatus.CANCELLED
            assert await job.signal(info.id, "x")
        assert legs.engine.run_info(info.id).status is RunStatus.COMPLETED

    go(test)


def test_g3_a_child_of_an_action_whose_run_fails_runs_all_the_same(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        yield ctx.submit("one", key=1)
        raise LookupError

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(family(kind, steps)) as job:
            parent = await job.submit({}, key="parent")
            assert await parent.wait() is RunStatus.FAILED
        assert children_of(legs) == ["one"]
        (child,) = legs.engine.runs(key=1)
        assert child.status is RunStatus.COMPLETED

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g2_two_actions_that_do_the_same_start_a_child_each(kind: str, store: str) -> None:
    def parent(event: Any, ctx: Any) -> Any:
        if ctx.key == "parent":
            yield ctx.submit("same", key=1)
        else:
            yield ctx.sleep(0)

    agent = Agent()
    for name in ("one", "two"):
        agent.add_action(name, [InputEvent], action_for(kind, parent))

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent) as job:
            await job.submit({}, key="parent")
        assert children_of(legs) == ["same", "same"]

    go(test)


# Of a source


def test_g20_children_of_a_source_end_with_it(store: str) -> None:
    """`run` returns when the runs that its inputs have started are over, too."""

    def steps(event: Any, ctx: Any) -> Any:
        if event.input["k"] == "parent":
            yield ctx.submit({"k": 1, "fail": False}, key=1)
            yield ctx.submit({"k": 2, "fail": True}, key=2)
        elif event.input["fail"]:
            raise LookupError
        else:
            yield ctx.durable_execute_async(echo, 1, 0.1)

    engine = LocalEngine(store)
    try:
        assert engine.run(agent_for(COROUTINE, steps), [{"k": "parent"}], key="k") == []
    except RunsFailedError as error:
        raise AssertionError("the failed run is no input of the source") from error
    statuses = {info.key: info.status for info in engine.runs()}
    assert statuses[1] is RunStatus.COMPLETED
    assert statuses[2] is RunStatus.FAILED
