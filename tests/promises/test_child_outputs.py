"""G1, G5, G9, G10, G19, G20: an action waits for what the runs that it started came to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.legs import KINDS, Legs, agent_for, family, go, results, until
from tests.promises.support import COROUTINE, OFF, SECONDS, State, agent_of, echo, hold, out, values

from perdure import LocalEngine, RunStatus
from perdure.errors import ContextAccessError, RunCancelledError

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


# Without continuations


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
