"""G19: a run that was begun with continuations goes on without, though its calls overlapped."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.inside import executions_of
from tests.patience import PATIENCE
from tests.promises.clock import HOUR, Clock
from tests.promises.legs import Legs, until
from tests.promises.support import (
    OFF,
    ONE,
    PLAIN,
    SECONDS,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    hold,
    out,
    values,
)

from perdure import LocalEngine, NonDeterminismError, RunCancelledError, RunStatus
from perdure.executor.fallback import ThreadedContinuation
from perdure.journal.record import RecordKind
from perdure.runtime.action import runner
from perdure.runtime.action.waits import ActionWaits


def nap_first(ctx: Any) -> list[Any]:
    nap = ctx.sleep(0.05)
    said = ctx.durable_execute_async(echo, "x").result()
    nap.result()
    return [said]


def nap_last(ctx: Any) -> list[Any]:
    slow = ctx.durable_execute_async(echo, "x", 0.2)
    nap = ctx.sleep(0.05)
    said = slow.result()  # the nap is over by now
    nap.result()
    return [said]


def nap_that_is_not_over(ctx: Any) -> list[Any]:
    nap = ctx.sleep(0.5)
    said = ctx.durable_execute_async(echo, "x").result()
    held = ctx.durable_execute_async(hold).result()
    nap.result()
    return [said, held]


def deadline_first(ctx: Any) -> list[Any]:
    wait = ctx.wait_for_signal("never", timeout=0.05)
    said = ctx.durable_execute_async(echo, "x").result()
    with pytest.raises(TimeoutError):
        wait.result()
    return [said]


def first_in_flight(ctx: Any) -> list[Any]:
    first = ctx.durable_execute_async(hold)
    second = ctx.durable_execute_async(echo, "x").result()
    third = ctx.durable_execute_async(echo, "y")
    return [first.result(), second, third.result()]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (nap_first, ["x"]),
        (nap_last, ["x"]),
        (nap_that_is_not_over, ["x", "held"]),
        (deadline_first, ["x"]),
        (first_in_flight, ["held", "x", "y"]),
    ],
)
def test_g19_what_overlapped_is_replayed_one_after_another(
    steps: Callable[[Any], list[Any]], expected: list[Any], sqlite: str
) -> None:
    def act(event: Any, ctx: Any) -> None:
        out(ctx, [steps(ctx), ctx.durable_execute_async(hold).result()])

    results = crash_and_resume(
        agent_of(act), ONE, store=sqlite, config=config_of(PLAIN), resume_config=config_of(OFF)
    )
    assert results == [[expected, "held"]]
    assert State.calls.count("x") == 1


async def stuck_until(leg: int) -> int:
    """Hang in the legs before this one."""
    State.calls.append(leg)
    if State.leg < leg:
        State.gate.reached.set()
        await asyncio.Event().wait()
    return leg


async def recorded(sqlite: str, kind: RecordKind, count: int = 1) -> None:
    """Return when so many records of the kind are durable."""

    def found() -> int:
        with contextlib.closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))) as db:
            (row,) = db.execute("SELECT count(*) FROM record WHERE kind = ?", [kind])
        return int(row[0])

    await until(lambda: found() >= count)


def legs_of(store: str, *kinds: str) -> list[Legs]:
    return [Legs(store, kind) for kind in kinds]


def test_g19_a_run_goes_to_and_fro(sqlite: str) -> None:
    def act(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(stuck_until, 2)
        second = ctx.durable_execute_async(echo, "x")
        third = ctx.durable_execute_async(stuck_until, 3)
        out(ctx, [second.result(), first.result(), third.result()])

    async def main() -> list[Any]:
        agent = agent_of(act)
        for leg, legs in enumerate(legs_of(sqlite, PLAIN, OFF), 1):
            State.gate.reached.clear()
            async with legs.crashing(agent) as job:
                await job.submit("in", key="k", id="one")
                await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
                await recorded(sqlite, RecordKind.RESULT, leg)
        async with legs_of(sqlite, PLAIN)[0].opened(agent) as job:
            run = await job.submit("in", key="k", id="one")
            return [output.value for output in await asyncio.wait_for(run.outputs(), SECONDS)]

    assert asyncio.run(main()) == [["x", 2, 3]]
    assert State.calls == [2, "x", 3, *(2, 3), *(3,)]


def signal_while_a_call_is_in_flight(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async(hold)
    wait = ctx.wait_for_signal("go")
    other = ctx.wait_for_signal("go", timeout=0.1)
    said = [wait.result()]
    try:
        said.append(other.result())
    except TimeoutError:
        said.append("once")
    out(ctx, [*said, call.result()])


def test_g19_a_signal_that_was_taken_is_kept_for_its_wait(sqlite: str) -> None:
    async def main() -> list[Any]:
        agent = agent_of(signal_while_a_call_is_in_flight)
        begun, resumed = legs_of(sqlite, PLAIN, OFF)
        async with begun.crashing(agent) as job:
            run = await job.submit("in", key="k", id="one")
            await run.signal("go", "signalled")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            await recorded(sqlite, RecordKind.TIMER)  # the second wait is over
        async with resumed.opened(agent) as job:
            run = await job.submit("in", key="k", id="one")
            return [output.value for output in await asyncio.wait_for(run.outputs(), SECONDS)]

    assert asyncio.run(main()) == [["signalled", "once", "held"]]


def test_g19_a_call_in_flight_is_not_made_again_when_the_run_was_to_stop(sqlite: str) -> None:
    def act(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(stuck_until, 2)
        ctx.durable_execute_async(echo, "x").result()
        try:
            first.result()
        except asyncio.CancelledError:
            ctx.durable_execute_async(stuck_until, 3).result()
            raise

    async def main() -> None:
        agent = agent_of(act)
        begun, resumed = legs_of(sqlite, PLAIN, OFF)
        async with begun.crashing(agent) as job:
            run = await job.submit("in", key="k", id="one")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            await recorded(sqlite, RecordKind.RESULT)
            State.gate.reached.clear()
            await run.cancel()
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        State.leg = 3
        async with resumed.opened(agent) as job:
            run = await job.submit("in", key="k", id="one")
            with pytest.raises(RunCancelledError):
                await asyncio.wait_for(run.outputs(), SECONDS)

    asyncio.run(main())
    assert State.calls == [2, "x", 3]


def test_g7_a_signal_that_a_changed_action_never_waits_for_is_told_at_its_end(sqlite: str) -> None:
    def act(event: Any, ctx: Any) -> None:
        if State.leg == 1:
            ctx.wait_for_signal("go").result()
        ctx.durable_execute_async(hold).result()

    async def main() -> None:
        agent = agent_of(act)
        begun, resumed = legs_of(sqlite, OFF, OFF)
        async with begun.crashing(agent) as job:
            run = await job.submit("in", key="k", id="one")
            await run.signal("go", "signalled")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        async with resumed.opened(agent) as job:
            run = await job.submit("in", key="k", id="one")
            with pytest.raises(NonDeterminismError, match="a signal 'go' that the action took"):
                await asyncio.wait_for(run.outputs(), SECONDS)

    asyncio.run(main())


def test_g12_code_that_begins_at_once_on_its_thread_has_the_time(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread may come to its first steps before the host loop's goes on."""
    real = ThreadedContinuation._begin

    def begin(self: ThreadedContinuation, main: Any) -> Any:
        done = real(self, main)
        assert began.wait(PATIENCE)
        return done

    began = threading.Event()

    def at_once(event: Any, ctx: Any) -> None:
        now = ctx.now()
        began.set()
        out(ctx, now.year)

    monkeypatch.setattr(ThreadedContinuation, "_begin", begin)
    engine = LocalEngine(store, config={"continuations": "off"})
    (output,) = engine.run(agent_of(at_once), ["a"], key=str)
    assert output.value > 2000


@pytest.mark.parametrize("limits", [{}, {"run_timeout": 10 * HOUR}])
def test_g19_time_that_an_action_waits_for_others_is_not_its_own(
    sqlite: str, clock: Clock, limits: dict[str, float]
) -> None:
    seen = list[Any]()

    def act(event: Any, ctx: Any) -> None:
        if event.input == "busy":
            ctx.durable_execute_async(hold).result()
            return
        began = ctx.now()
        said = ctx.wait_for_signal("go", timeout=HOUR / 2).result()
        seen.append((said, began))
        ctx.durable_execute_async(stuck_until, 2).result()
        out(ctx, said)

    async def main() -> None:
        agent, legs = agent_of(act), Legs(sqlite, OFF, **limits)
        async with legs.crashing(agent) as job:
            await job.submit("busy", key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            run = await job.submit("queued", key="b", id="one")
            for execution in executions_of(job):
                execution.tell()  # as it does in a moment, which is not the action's beginning
            clock.forward(HOUR)
            later = clock.now()
            State.gate.release()
            await until(lambda: run.status is RunStatus.WAITING)
            await run.signal("go", "in time")
            await until(lambda: State.calls == [2])
        async with legs.opened(agent) as job:
            run = await job.submit("queued", key="b", id="one")
            assert values(await asyncio.wait_for(run.outputs(), SECONDS)) == ["in time"]
        live, replayed = seen
        assert replayed == live
        assert live[1].timestamp() >= later // 1000 / 1e6

    asyncio.run(main())


def test_g19_what_an_action_waits_for_is_made_on_the_thread_of_the_loop(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On the action's own it was made beside the loop's now and then, twice: a wait was in the one,
    # and signals and deadlines went to the other, so that the action hung.
    made: list[int] = []

    class Counted(ActionWaits):
        def __init__(self, *given: Any, **more: Any) -> None:
            made.append(threading.get_ident())
            super().__init__(*given, **more)

    monkeypatch.setattr(runner, "ActionWaits", Counted)

    def sleeps(event: Any, ctx: Any) -> None:
        ctx.sleep(0.001).result()
        out(ctx, "slept")

    def waits(event: Any, ctx: Any) -> None:
        out(ctx, ctx.wait_for_signal("ok").result())

    def asks(event: Any, ctx: Any) -> None:
        out(ctx, bool(ctx.wait_for_approval("ok").result()))

    async def test() -> None:
        legs = Legs(sqlite, OFF)
        for n, action in enumerate((sleeps, waits, asks)):
            async with legs.opened(agent_of(action)) as job:
                run_ = await job.submit({}, key="a", id=n)
                await run_.signal("ok", True)
                assert len(await asyncio.wait_for(run_.outputs(), SECONDS)) == 1

    asyncio.run(test())
    assert made == [threading.get_ident()] * 3
