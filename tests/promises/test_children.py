"""G1, G2, G20: runs that an action starts, at once or later: exactly once, and independent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.promises.legs import Legs, action_for, agent_for, go, until
from tests.promises.support import (
    COROUTINE,
    OFF,
    PLAIN,
    SECONDS,
    State,
    agent_of,
    echo,
    hold,
    out,
    values,
)

from perdure import Agent, InputEvent, LocalEngine, RunStatus
from perdure.engine.job import Run
from perdure.errors import (
    ContextAccessError,
    EncodeError,
    InputError,
    RunCancelledError,
    RunsFailedError,
)

# Without continuations plain actions go one at a time: one that waits for another's outputs would
# wait for ever, so the tests that do so leave that out.
KINDS = [COROUTINE, PLAIN]


async def results(run_: Run) -> list[Any]:
    return values(await asyncio.wait_for(run_.outputs(), SECONDS))


def family(kind: str, parent: Any) -> Agent:
    """Return an agent whose runs are children, but for that of the key "parent"."""

    def steps(event: Any, ctx: Any) -> Any:
        if ctx.key == "parent":
            yield from parent(event, ctx)
        else:
            State.calls.append(event.input)
            if event.input == "fail":
                raise LookupError("the child failed")
            if event.input == "wait":
                yield ctx.wait_for_signal("x")
            yield ctx.durable_execute_async(echo, event.input, 0.01)
            out(ctx, ["child", event.input])

    return agent_for(kind, steps)


def children_of(legs: Legs) -> list[Any]:
    """Return the inputs of the runs that are not the parent's, oldest first."""
    return [info.input for info in legs.engine.runs()[::-1] if info.key != "parent"]


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
            commits = job.runtime.commits
            before = commits.commits
            await job.submit({}, key="parent", id=1)
            flush, commits._flush = commits._flush, lambda: None  # type: ignore[method-assign]
            for _ in range(held):
                await asyncio.sleep(0.01)
                if commits._busy and not commits._finished:
                    flush()
            await asyncio.sleep(0.02)
            assert commits.commits >= before
            for execution in job.runtime._executions.values():
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
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
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


# Outputs


def collects(event: Any, ctx: Any) -> Any:
    seen = []
    for n in range(3):
        child = yield ctx.submit(f"c{n}", key=n)
        seen.append(child)
    collected = []
    for child in seen:
        outputs = yield child.outputs()
        collected.append([outputs[0].value, outputs[0].run_id == child.id, outputs[0].key])
    yield ctx.durable_execute_async(hold)
    out(ctx, collected)


@pytest.mark.parametrize("kind", KINDS)
def test_g5_a_parent_gets_the_outputs_of_its_children(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = family(kind, collects)
        async with legs.crashing(agent) as job:
            parent = await job.submit({}, key="parent", id=1)
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        async with legs.opened(agent) as job:
            parent = await job.submit({}, key="parent", id=1)
            expected = [[["child", f"c{n}"], True, n] for n in range(3)]
            assert await results(parent) == [expected]

    go(test)


def catches(event: Any, ctx: Any) -> Any:
    child = yield ctx.submit(event.input, key=1)
    try:
        yield child.outputs()
    except Exception as error:
        State.calls.append([type(error), str(error)])
        seen = f"{type(error).__name__}: {error}"
    yield ctx.durable_execute_async(hold)
    out(ctx, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_g9_a_childs_error_is_raised_in_the_parent_live_as_on_replay(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = family(kind, catches)
        async with legs.crashing(agent) as job:
            parent = await job.submit("fail", key="parent", id=1)
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        async with legs.opened(agent) as job:
            parent = await job.submit("fail", key="parent", id=1)
            assert await results(parent) == ["LookupError: the child failed"]

    go(test)
    caught = [call for call in State.calls if isinstance(call, list)]
    assert caught == [[LookupError, "the child failed"]] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_g10_a_parent_hears_that_its_child_was_cancelled(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(family(kind, catches)) as job:
            State.gate.open = True
            parent = await job.submit("wait", key="parent")
            await until(lambda: legs.engine.runs(key=1))
            (child,) = legs.engine.runs(key=1)
            legs.engine.cancel(child.id)
            ((text),) = await results(parent)
            assert text.startswith("RunCancelledError")

    go(test)
    caught = [call for call in State.calls if isinstance(call, list)]
    assert [kind_ for kind_, _ in caught] == [RunCancelledError]


def test_g20_a_parent_that_goes_on_waits_for_a_child_far_behind_it(sqlite: str) -> None:
    """The child's place is behind many runs that a restart takes up as well."""

    def steps(event: Any, ctx: Any) -> Any:
        if ctx.key == "parent":
            child = yield ctx.submit("child", key="child")
            seen = yield child.outputs()
            out(ctx, values(seen))
        elif ctx.key == "child":
            yield ctx.durable_execute_async(hold)
            out(ctx, "result")
        else:
            yield ctx.wait_for_signal("x")
            if ctx.key == 0:
                State.calls.append(ctx.key)

    async def test() -> None:
        legs = Legs(sqlite)
        agent = agent_for(COROUTINE, steps)
        async with legs.crashing(agent) as job:
            # The parent is first; its child comes after 200 others.
            others = [job.submit(n, key=n) for n in range(200)]
            parent = asyncio.ensure_future(job.submit({}, key="parent", id=1))
            await asyncio.gather(parent, *others)
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="parent", id=1)
            assert await results(run_) == [["result"]]

    go(test)


# Its own key


def waits_for_itself(event: Any, ctx: Any) -> Any:
    if event.input == "first":
        child = yield ctx.submit("second", key=ctx.key)
        with pytest.raises(ContextAccessError, match="same key"):
            child.outputs()
    out(ctx, event.input)


def test_g1_a_run_of_the_own_key_may_be_started_but_not_awaited(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_for_itself)) as job:
            run_ = await job.submit("first", key="a")
            assert await results(run_) == ["first"]
        assert [info.input for info in legs.engine.runs(key="a")] == ["second", "first"]
        assert {info.status for info in legs.engine.runs()} == {RunStatus.COMPLETED}

    go(test)


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


# Room


@pytest.mark.parametrize("kind", KINDS)
def test_g20_children_run_though_their_parents_take_all_the_room(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        depth, n = event.input["depth"], event.input["n"]
        if depth == 0:
            yield ctx.durable_execute_async(echo, n, 0.01)
            out(ctx, [n])
            return
        below = {"depth": depth - 1, "n": n}
        child = yield ctx.submit(below, key=f"{n}-{depth - 1}")
        seen = yield child.outputs()
        out(ctx, [depth, *seen[0].value])

    async def test() -> None:
        engine = LocalEngine(store, config={"max-runs-in-flight": 2})
        inputs = [{"k": f"{n}-3", "depth": 3, "n": n} for n in range(6)]
        running = engine.run_async(agent_for(kind, steps), inputs, key="k")
        outputs = await asyncio.wait_for(running, SECONDS)
        assert sorted(values(outputs)) == [[3, 2, 1, n] for n in range(6)]
        assert len(engine.runs(limit=100)) == 24

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


# Later


def records_time(event: Any, ctx: Any) -> Any:
    State.calls.append((event.input, time.monotonic()))
    yield ctx.sleep(0)
    out(ctx, event.input)


def begun() -> list[Any]:
    return [entry[0] for entry in State.calls]


def test_g1_a_delayed_run_joins_its_queue_when_it_is_due(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, records_time)) as job:
            began = time.monotonic()
            later = await job.submit("later", key="a", delay=0.3)
            assert later.status is RunStatus.WAITING
            assert legs.engine.run_info(later.id).status is RunStatus.WAITING
            for n in range(3):  # they do not wait for it
                assert await results(await job.submit(n, key="a")) == [n]
            assert time.monotonic() < began + 0.3
            assert await results(later) == ["later"]
            last = await job.submit("last", key="a")
            assert await results(last) == ["last"]
            assert begun() == [0, 1, 2, "later", "last"]
            assert dict(State.calls)["later"] >= began + 0.29

    go(test)


def test_g1_a_delayed_run_goes_behind_what_came_before_it_was_due(store: str) -> None:
    async def slow(event: Any, ctx: Any) -> None:
        State.calls.append((event.input, 0))
        await ctx.durable_execute_async(echo, (event.input, 1), 0.2)

    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_of(slow)) as job:
            runs = [await job.submit("later", key="a", delay=0.05)]
            for n in range(3):
                runs.append(await job.submit(n, key="a"))
            for run_ in runs:
                await run_.wait()

    go(test)
    assert [entry[0] for entry in State.calls if entry[1] == 0] == [0, 1, 2, "later"]


@pytest.mark.parametrize("down", [0.0, 0.5], ids=["due later", "due while down"])
def test_g12_a_delay_survives_a_restart(kind: str, down: float, store: str) -> None:
    async def test() -> float:
        legs = Legs(store, kind)
        agent = agent_for(kind, records_time)
        began = time.monotonic()
        async with legs.crashing(agent) as job:
            later = await job.submit("later", key="a", id=1, delay=0.4)
        assert legs.engine.run_info(later.id).status is RunStatus.WAITING
        await asyncio.sleep(down)
        async with legs.crashing(agent) as job:
            again = await job.submit("later", key="a", id=1, delay=0.4)
            assert again.id == later.id
            assert await results(again) == ["later"]
        assert begun() == ["later"]
        return State.calls[0][1] - began

    took = go(test)
    assert 0.39 <= took < down + 0.6


def test_g2_an_id_submitted_twice_with_a_delay_is_one_run(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, records_time)) as job:
            runs = await asyncio.gather(
                *(job.submit("one", key="a", id="x", delay=0.1 * n) for n in range(4))
            )
            assert len({run_.id for run_ in runs}) == 1
            with pytest.raises(InputError):
                await job.submit("two", key="a", id="x", delay=1)
            for run_ in runs:
                assert await results(run_) == ["one"]
        assert begun() == ["one"]

    go(test)


def test_g10_a_delayed_run_can_be_cancelled_and_retried(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, records_time)) as job:
            later = await job.submit("later", key="a", id=1, delay=3600)
            assert await later.cancel()
            assert await asyncio.wait_for(later.wait(), SECONDS) is RunStatus.CANCELLED
            assert not await later.cancel()
            with pytest.raises(RunCancelledError):
                await later.outputs()
            other = await job.submit("other", key="a")
            assert await results(other) == ["other"]
            legs.engine.retry(later.id)
            done = RunStatus.COMPLETED
            await until(lambda: legs.engine.run_info(later.id).status is done)
        assert begun() == ["other", "later"]

    go(test)


def test_g10_a_run_cancelled_just_when_it_is_due_stays_cancelled_or_runs(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        agent = agent_for(COROUTINE, records_time)
        async with legs.opened(agent) as job:
            runs = []
            for n in range(40):
                run_ = await job.submit(n, key=n % 3, delay=0.02)
                runs.append(run_)
                await asyncio.sleep(0.015 + 0.0002 * n)
                await run_.cancel()
            for run_ in runs:
                status = await asyncio.wait_for(run_.wait(), SECONDS)
                assert legs.engine.run_info(run_.id).status is status
        async with legs.opened(agent):
            pass
        for run_ in runs:
            assert legs.engine.run_info(run_.id).status is run_.status

    go(test)


@pytest.mark.parametrize("moment", range(4))
def test_g10_a_cancel_and_a_due_time_in_the_same_moment(moment: int, store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        agent = agent_for(COROUTINE, records_time)
        async with legs.opened(agent) as job:
            run_ = await job.submit("one", key="a", delay=3600)
            waiting = job.runtime.waiting
            ticket = run_._ticket
            assert ticket is not None
            legs.slow_commits(0.02)
            cancelling = asyncio.ensure_future(run_.cancel())
            for tick in range(4):
                if tick == moment:
                    waiting._becomes_due(ticket)
                await asyncio.sleep(0)
            await cancelling
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
            assert legs.engine.run_info(run_.id).status is RunStatus.CANCELLED
            legs.quick_commits()

    go(test)
    assert begun() == []


def starts_later(event: Any, ctx: Any) -> Any:
    if event.input == "parent":
        began = ctx.now()
        child = yield ctx.submit("child", key="b", delay=0.3)
        yield ctx.durable_execute_async(hold)
        seen = yield child.outputs()
        out(ctx, [values(seen), (ctx.now() - began).total_seconds()])
    else:
        yield from records_time(event, ctx)


@pytest.mark.parametrize("kind", KINDS)
def test_g12_a_delayed_child_over_a_crash(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for(kind, starts_later)
        async with legs.crashing(agent) as job:
            await job.submit("parent", key="a", id=1)
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        async with legs.opened(agent) as job:
            parent = await job.submit("parent", key="a", id=1)
            ((seen, took),) = await results(parent)
            assert seen == ["child"]
            assert 0.29 <= took < 0.9
        assert begun() == ["child"]

    go(test)


def test_g20_delayed_runs_take_no_room(store: str) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=2)
        async with legs.opened(agent_for(COROUTINE, records_time)) as job:
            for n in range(20):
                await asyncio.wait_for(job.submit(n, key=n, delay=3600), SECONDS)
            assert await results(await job.submit("now", key="a")) == ["now"]
            assert job.progress.waiting == 20
            assert job.progress.in_flight == 0

    go(test)


def test_g1_a_signal_to_a_delayed_run_waits_for_it(store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        out(ctx, (yield ctx.wait_for_signal("x")))

    async def test() -> None:
        legs = Legs(store)
        agent = agent_for(COROUTINE, steps)
        async with legs.crashing(agent) as job:
            later = await job.submit({}, key="a", id=1, delay=0.2)
            assert await later.signal("x", "early")
            assert later.status is RunStatus.WAITING
        async with legs.opened(agent) as job:
            again = await job.submit({}, key="a", id=1)
            assert await results(again) == ["early"]

    go(test)


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


def test_g12_a_run_that_became_due_while_nothing_ran_is_waited_for(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        agent = agent_for(COROUTINE, records_time)
        async with legs.opened(agent) as job:
            run_ = await job.submit("one", key="a", delay=0.1)
        assert legs.engine.run_info(run_.id).status is RunStatus.WAITING
        await asyncio.sleep(0.15)
        async with legs.opened(agent):
            pass  # leaving the job waits for it now
        assert legs.engine.run_info(run_.id).status is RunStatus.COMPLETED

    go(test)


def test_g19_a_plain_parent_without_continuations_cannot_wait_for_a_child(store: str) -> None:
    def parent(event: Any, ctx: Any) -> None:
        child = ctx.submit("child", key="b").result()
        try:
            child.outputs()
        except ContextAccessError as error:
            out(ctx, "cannot wait for another run" in str(error))

    def action(event: Any, ctx: Any) -> None:
        if event.input == "parent":
            parent(event, ctx)

    async def test() -> None:
        legs = Legs(store, OFF)
        async with legs.opened(agent_of(action)) as job:
            run_ = await job.submit("parent", key="a")
            assert values(await run_.outputs()) == [True]

    go(test)
