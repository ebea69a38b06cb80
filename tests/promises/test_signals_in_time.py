"""G6: a signal that was durable before a deadline wins over it, whenever the process is back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.inside import runtime_of
from tests.promises.clock import HOUR, Clock
from tests.promises.legs import Legs, action_for, agent_for, all_wait, go, results, until
from tests.promises.support import COROUTINE, OFF, PLAIN, SECONDS, State, agent_of, echo, hold, out

from perdure import RunStatus
from perdure.operate import control
from perdure.runtime import commands


def approved(event: Any, ctx: Any) -> Any:
    """Wait for an hour at most."""
    try:
        out(ctx, (yield ctx.wait_for_signal("ok", timeout=HOUR)))
    except TimeoutError:
        out(ctx, "TIMEOUT")


def approved_in_a_block(around: Any) -> Any:
    """Return an action that waits in `asyncio.timeout`, in what `around` makes of the wait."""

    async def act(event: Any, ctx: Any) -> None:
        try:
            async with asyncio.timeout(HOUR):
                out(ctx, await around(ctx, ctx.wait_for_signal("ok")))
        except TimeoutError:
            out(ctx, "TIMEOUT")

    return agent_of(act)


async def plainly(ctx: Any, wait: Any) -> Any:
    return await wait


async def gathered(ctx: Any, wait: Any) -> Any:
    async def inner() -> Any:
        return await asyncio.ensure_future(wait)

    return (await asyncio.gather(inner(), asyncio.sleep(1)))[0]


async def with_a_call(ctx: Any, wait: Any) -> Any:
    """The call is made again when the process is back, and is over at once."""
    call = ctx.durable_execute_async(hold)
    await asyncio.wait([call, wait], return_when=asyncio.FIRST_COMPLETED)
    return await wait


AGENTS = {
    "timeout=": lambda kind: agent_for(kind, approved),
    "asyncio.timeout": lambda kind: approved_in_a_block(plainly),
    "gather": lambda kind: approved_in_a_block(gathered),
    "beside a call": lambda kind: approved_in_a_block(with_a_call),
}


async def waits(job: Any) -> Any:
    """Submit a run; return it when its action waits and that is durable."""
    run_ = await job.submit({}, key="a", id=1)
    await until(lambda: run_.status is RunStatus.WAITING or State.gate.reached.is_set())
    return run_


@pytest.mark.parametrize("after", [0.5, 1.5], ids=["in time", "too late"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, COROUTINE) for name in AGENTS), ("timeout=", PLAIN), ("timeout=", OFF)],
)
def test_g6_what_was_durable_first_wins_though_no_process_ran(
    name: str, after: float, kind: str, sqlite: str, clock: Clock
) -> None:
    """Both the signal and the deadline come while the process is down."""

    async def test() -> list[Any]:
        legs, agent = Legs(sqlite, kind), AGENTS[name](kind)
        async with legs.crashing(agent) as job:
            await waits(job)
        clock.forward(after * HOUR)
        legs.engine.signal("r1", "ok", "approved")
        clock.forward(HOUR)
        async with legs.opened(agent) as job:
            return await results(await job.submit({}, key="a", id=1))

    assert go(test) == ["approved" if after < 1.0 else "TIMEOUT"]


@pytest.mark.parametrize("name", AGENTS)
def test_g6_the_inbox_is_read_before_a_deadline_fires(
    name: str, sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is open, and has not looked into its inbox since the signal came."""
    monkeypatch.setattr(commands, "INBOX_SECONDS", 3600.0)

    async def test() -> list[Any]:
        legs, agent = Legs(sqlite), AGENTS[name](COROUTINE)
        async with legs.opened(agent) as job:
            run_ = await waits(job)
            legs.engine.signal(run_.id, "ok", "approved")
            clock.forward(HOUR)
            State.gate.release()
            return await results(run_)

    assert go(test) == ["approved"]


def approved_second(event: Any, ctx: Any) -> Any:
    """Wait for one signal, and then for another, for an hour at most."""
    yield ctx.wait_for_signal("first")
    ctx.set_status("second")
    try:
        out(ctx, (yield ctx.wait_for_signal("ok", timeout=HOUR)))
    except TimeoutError:
        out(ctx, "TIMEOUT")


def test_g6_the_inbox_is_read_before_a_deadline_that_follows_a_signal(
    kind: str, sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "INBOX_SECONDS", 3600.0)

    async def test() -> list[Any]:
        legs = Legs(sqlite, kind)
        async with legs.opened(agent_for(kind, approved_second)) as job:
            run_ = await waits(job)
            await run_.signal("first")
            await until(lambda: run_.activity == "second")
            legs.engine.signal(run_.id, "ok", "approved")
            clock.forward(HOUR)
            return await results(run_)

    assert go(test) == ["approved"]


def approved_twice(event: Any, ctx: Any) -> Any:
    """Wait for a signal and then for another, for an hour each."""
    found = []
    for name in ("ok", "sure"):
        try:
            found.append((yield ctx.wait_for_signal(name, timeout=HOUR)))
        except TimeoutError:
            found.append("TIMEOUT")
    out(ctx, found)


def test_g12_a_deadline_that_lost_is_not_that_of_the_next_wait(
    kind: str, sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look into the inbox that it waits for ends when the next wait has begun."""
    monkeypatch.setattr(commands, "INBOX_SECONDS", 3600.0)

    async def test() -> list[Any]:
        legs = Legs(sqlite, kind)
        async with legs.opened(agent_for(kind, approved_twice)) as job:
            run_ = await waits(job)
            other = await job.submit({}, key="b", id=2)
            await all_wait([other])
            clock.forward(HOUR / 2)
            legs.engine.signal(run_.id, "ok", "first")
            for n in range(20):
                legs.engine.signal(other.id, "nobody waits for it", n)
            clock.forward(HOUR / 2)
            await until(lambda: [each.name for each in run_.waits] == ["sure"])
            await until(lambda: [each.name for each in other.waits] == ["sure"])
            for each in (run_, other):
                await each.signal("sure", "second")
            return [*await results(run_), *await results(other)]

    assert go(test) == [["first", "second"], ["TIMEOUT", "second"]]


def test_g6_a_signal_that_is_being_written_wins_over_a_deadline(
    kind: str, store: str, clock: Clock
) -> None:
    async def test() -> list[Any]:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, approved)) as job:
            run_ = await waits(job)
            legs.slow_commits(0.05)
            sending = asyncio.ensure_future(run_.signal("ok", "approved"))
            await asyncio.sleep(0.01)
            clock.forward(HOUR)
            found = await results(run_)
            await sending
            return found

    assert go(test) == ["approved"]


def several(event: Any, ctx: Any) -> Any:
    """Wait twice, for an hour and for two: what came between the deadlines is the second's."""
    seen = []
    for hours in (1, 2):
        try:
            seen.append((yield ctx.wait_for_signal("ok", timeout=hours * HOUR)))
        except TimeoutError:
            seen.append("TIMEOUT")
    out(ctx, [*seen, ctx.now().timestamp()])


def test_g12_each_of_several_deadlines_has_its_place_among_the_signals(
    kind: str, sqlite: str, clock: Clock
) -> None:
    async def test() -> list[Any]:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, several)) as job:
            await waits(job)
        clock.forward(1.5 * HOUR)
        legs.engine.signal("r1", "ok", "second")
        came = legs.engine.run_info("r1")
        assert came.status is not RunStatus.COMPLETED
        clock.forward(9 * HOUR)
        async with legs.opened(agent_for(kind, several)) as job:
            (found,) = await results(await job.submit({}, key="a", id=1))
            return found[:2]

    assert go(test) == ["TIMEOUT", "second"]


@pytest.mark.parametrize("after", [0.5, 1.5], ids=["in time", "too late"])
def test_g6_a_signal_in_time_comes_before_the_runs_own_timeout(
    after: float, kind: str, sqlite: str, clock: Clock
) -> None:
    def patient(event: Any, ctx: Any) -> Any:
        out(ctx, (yield ctx.wait_for_signal("ok")))

    async def test() -> tuple[RunStatus, list[Any]]:
        legs = Legs(sqlite, kind, run_timeout=HOUR)
        async with legs.crashing(agent_for(kind, patient)) as job:
            await waits(job)
        clock.forward(after * HOUR)
        legs.engine.signal("r1", "ok", "approved")
        clock.forward(HOUR)
        async with legs.opened(agent_for(kind, patient)) as job:
            run_ = await job.submit({}, key="a", id=1)
            status = await run_.wait()
            stored = await runtime_of(job).recorded_outputs([runtime_of(job).job_number << 40 | 1])
            return status, [output.value for _, _, output in stored]

    late = (RunStatus.FAILED, [])
    assert go(test) == ((RunStatus.COMPLETED, ["approved"]) if after < 1.0 else late)


@pytest.mark.parametrize("wait", ["sleep", "signal", "late signal"])
def test_g12_the_runs_own_timeout_comes_before_a_later_deadline(
    wait: str, kind: str, sqlite: str, clock: Clock
) -> None:
    """Both have passed while the process was down; so has the signal, between the two."""

    def patient(event: Any, ctx: Any) -> Any:
        try:
            if wait == "sleep":
                yield ctx.sleep(2 * HOUR)
            else:
                yield ctx.wait_for_signal("ok", timeout=2 * HOUR)
            State.calls.append("went on")
        except TimeoutError:
            State.calls.append("timed out")
        except asyncio.CancelledError:
            State.calls.append("cancelled")
            raise

    async def test() -> None:
        legs = Legs(sqlite, kind, run_timeout=HOUR)
        async with legs.crashing(agent_for(kind, patient)) as job:
            await waits(job)
        del State.calls[:]  # of the end of that process
        clock.forward(1.5 * HOUR)
        if wait == "late signal":
            legs.engine.signal("r1", "ok", "approved")
        clock.forward(HOUR)
        async with legs.opened(agent_for(kind, patient)) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.FAILED

    go(test)
    assert State.calls == ["cancelled"]


def test_g6_many_deadlines_at_once_share_a_look_and_lose_no_signal(
    sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "INBOX_SECONDS", 3600.0)

    async def test() -> list[Any]:
        legs = Legs(sqlite)
        async with legs.opened(agent_for(COROUTINE, approved)) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(50)]
            await all_wait(runs)
            looks = 0
            real = legs.engine._store.commands

            async def counted() -> Any:
                nonlocal looks
                looks += 1
                return await real()

            monkeypatch.setattr(legs.engine._store, "commands", counted)
            for each in runs[::2]:
                legs.engine.signal(each.id, "ok", "approved")
            clock.forward(HOUR)
            found = [(await results(each))[0] for each in runs]
            assert looks < 10
            return found

    assert go(test) == ["approved", "TIMEOUT"] * 25


def test_g12_the_time_of_a_signal_is_when_it_came(kind: str, sqlite: str, clock: Clock) -> None:
    def tells(event: Any, ctx: Any) -> Any:
        began = ctx.now()
        yield ctx.wait_for_signal("ok")
        out(ctx, round((ctx.now() - began).total_seconds() / HOUR, 1))

    async def test() -> list[Any]:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, tells)) as job:
            await waits(job)
        clock.forward(2 * HOUR)
        legs.engine.signal("r1", "ok")
        clock.forward(5 * HOUR)
        async with legs.opened(agent_for(kind, tells)) as job:
            return await results(await job.submit({}, key="a", id=1))

    assert go(test) == [2.0]


def test_g6_signals_that_came_at_one_time_are_all_kept(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coarse clock gives two commands the same time; a signal is known in its run by its time."""

    def three(event: Any, ctx: Any) -> Any:
        found = []
        for _ in range(3):
            found.append((yield ctx.wait_for_signal("ok")))
        out(ctx, found)

    async def test() -> list[Any]:
        legs = Legs(sqlite)
        async with legs.crashing(agent_for(COROUTINE, three)) as job:
            await waits(job)
        at = control.time_ns()
        with monkeypatch.context() as patch:
            patch.setattr(control, "time_ns", lambda: at)
            for n in range(3):
                legs.engine.signal("r1", "ok", n)
        async with legs.opened(agent_for(COROUTINE, three)) as job:
            return await results(await job.submit({}, key="a", id=1))

    assert go(test) == [[0, 1, 2]]


def test_g6_a_retried_branch_is_the_same_on_replay(kind: str, sqlite: str, clock: Clock) -> None:
    """What won against its deadline wins again when the run is read back once more."""

    def holds(event: Any, ctx: Any) -> Any:
        try:
            found = yield ctx.wait_for_signal("ok", timeout=HOUR)
        except TimeoutError:
            found = "TIMEOUT"
        State.calls.append(found)
        yield ctx.durable_execute_async(hold)
        out(ctx, (yield ctx.durable_execute_async(echo, found)))

    async def test() -> list[Any]:
        legs = Legs(sqlite, kind)
        agent = agent_of(action_for("coroutine" if kind == COROUTINE else "plain", holds))
        async with legs.crashing(agent) as job:
            await waits(job)
        legs.engine.signal("r1", "ok", "approved")
        clock.forward(2 * HOUR)
        State.gate.open = False
        State.gate.reached.clear()
        async with legs.crashing(agent) as job:
            await until(lambda: State.gate.reached.is_set())
        async with legs.opened(agent) as job:
            return await results(await job.submit({}, key="a", id=1))

    assert go(test) == ["approved"]
    assert set(State.calls) == {"approved"}


@pytest.mark.parametrize("slices", [1, 2, 20])
@pytest.mark.parametrize("after", [0.6, 1.5], ids=["in time", "too late"])
def test_g6_a_signal_in_time_wins_over_run_timeout_though_it_is_awaited_in_slices(
    after: float, slices: int, kind: str, sqlite: str, clock: Clock
) -> None:
    def reminded(event: Any, ctx: Any) -> Any:
        for _ in range(slices):
            try:
                out(ctx, (yield ctx.wait_for_signal("ok", timeout=0.95 * HOUR / slices)))
                return
            except TimeoutError:
                pass
        yield ctx.sleep(HOUR)

    async def test() -> list[Any]:
        legs = Legs(sqlite, kind, **{"run-timeout": HOUR})
        async with legs.crashing(agent_for(kind, reminded)) as job:
            await waits(job)
        clock.forward(after * HOUR)
        legs.engine.signal("r1", "ok", "approved")
        clock.forward(2 * HOUR)
        async with legs.opened(agent_for(kind, reminded)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await asyncio.wait_for(run_.wait(), SECONDS)
            return await results(run_) if run_.status is RunStatus.COMPLETED else []

    assert go(test) == (["approved"] if after < 1.0 else [])
