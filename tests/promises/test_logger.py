"""G6: what an action logs is said once, over crashes: no line is lost and none said twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.inside import executions_of, runs_of, services_of
from tests.patience import PATIENCE
from tests.promises.legs import (
    KINDS,
    Legs,
    action_for,
    agent_for,
    all_wait,
    go,
    results,
    until,
)
from tests.promises.support import COROUTINE, State, agent_of, echo, hold, out

from perdure import InputEvent, PerdureError, RunStatus
from perdure.errors import SpinningActionError
from perdure.journal.journal import ActionHistory
from perdure.journal.record import Record
from perdure.runtime.shared import soon


class Lines(logging.Handler):
    """What was said, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler, logger = Lines(), logging.getLogger("perdure.run")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.said
    logger.removeHandler(handler)
    logger.setLevel(level)


@contextlib.asynccontextmanager
async def dying(legs: Legs, agent: Any) -> AsyncIterator[Any]:
    """Open the job; when the block is left nothing more is written or said, as after SIGKILL."""
    async with legs.crashing(agent) as job:
        yield job
        runs_of(job).drop_all()


async def submitted(job: Any) -> Any:
    return await job.submit({}, key="a", id=1)


async def stuck() -> None:
    await until(State.gate.reached.is_set)


def three_turns(event: Any, ctx: Any) -> Any:
    ctx.logger.info("start")
    yield ctx.durable_execute_async(echo, 1)
    ctx.logger.info("after %d", 1)
    ctx.logger.error("wrong")
    yield ctx.durable_execute_async(hold)
    ctx.logger.info("end")
    out(ctx, 1)


ALL = ["start", "after 1", "wrong", "end"]


@pytest.mark.parametrize("moment", [3600.0, 0.0], ids=["at once", "after a while"])
def test_g6_each_line_is_said_once_though_the_process_dies(
    moment: float, kind: str, store: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies while the second call is under way: just begun, or for longer than a moment."""
    monkeypatch.setattr(soon, "APART", moment)

    async def test() -> None:
        legs = Legs(store, kind)
        async with dying(legs, agent_for(kind, three_turns)) as job:
            await submitted(job)
            await stuck()
            if moment:
                await asyncio.sleep(0.02)
                assert lines == ["start"]
            else:
                await until(lambda: lines == ["start", "after 1", "wrong"])
        async with legs.opened(agent_for(kind, three_turns)) as job:
            assert await results(await submitted(job)) == [1]

    go(test)
    assert lines == ALL


def test_g6_lines_of_turns_whose_settlements_shared_a_commit_are_said_once(
    store: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second settlement is durable when the process dies in the turn of the first."""
    monkeypatch.setattr(soon, "APART", 3600.0)

    async def both(event: Any, ctx: Any) -> None:
        calls = [ctx.durable_execute_async(echo, n) for n in (1, 2)]
        for n, call in enumerate(calls, 1):
            await call
            ctx.logger.info("turn %s", n)
            if n == 1 and State.leg == 1:
                State.dies()  # type: ignore[attr-defined]
        out(ctx, "done")

    async def test() -> None:
        legs = Legs(store)
        legs.slow_commits(0.05)
        async with legs.crashing(agent_of(both)) as job:
            died = asyncio.Event()

            def dies() -> None:
                for execution in executions_of(job):
                    execution.dropped = True  # nothing more is written or told
                died.set()

            State.dies = dies  # type: ignore[attr-defined]
            await submitted(job)
            await asyncio.wait_for(died.wait(), PATIENCE)
        legs.quick_commits()
        async with legs.opened(agent_of(both)) as job:
            assert await results(await submitted(job)) == ["done"]

    go(test)
    assert lines == ["turn 1", "turn 2"]


def test_g6_what_was_said_before_a_wait_is_said_before_it_and_once(
    kind: str, store: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soon, "APART", 3600.0)

    def waits(event: Any, ctx: Any) -> Any:
        ctx.logger.info("asking")
        answer = yield ctx.wait_for_signal("ok")
        ctx.logger.info("got %s", answer)
        out(ctx, answer)

    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with dying(legs, agent_for(kind, waits)) as job:
            run_ = await submitted(job)
            other = await job.submit({}, key="b", id=2)  # now one of them leaves memory
            await all_wait([run_, other])
            assert lines == ["asking"] * 2
        async with legs.opened(agent_for(kind, waits)) as job:
            for n in (1, 2):
                run_ = await job.submit({}, key="ab"[n - 1], id=n)
                await run_.signal("ok", n)
                assert await results(run_) == [n]

    go(test)
    assert sorted(lines) == ["asking", "asking", "got 1", "got 2"]


def test_g6_a_retry_says_only_what_was_not_said(kind: str, store: str, lines: list[str]) -> None:
    def fails_once(event: Any, ctx: Any) -> Any:
        ctx.logger.info("start")
        yield ctx.durable_execute_async(echo, 1)
        ctx.logger.info("after")
        State.calls.append("try")
        if State.calls.count("try") == 1:
            raise LookupError("once")
        ctx.logger.info("well")
        out(ctx, 1)

    async def test() -> None:
        legs = Legs(
            store, kind, error_handling_strategy="retry", max_retries=1, retry_wait_interval=0.0
        )
        async with legs.opened(agent_for(kind, fails_once)) as job:
            assert await results(await submitted(job)) == [1]

    go(test)
    assert lines == ["start", "after", "well"]


def test_g6_an_action_that_is_cancelled_says_what_it_said(
    kind: str, store: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soon, "APART", 3600.0)

    async def coroutine(event: Any, ctx: Any) -> None:
        ctx.logger.info("start")
        try:
            await ctx.durable_execute_async(hold)
        except asyncio.CancelledError:
            ctx.logger.info("asked to stop")
            raise

    def plain(event: Any, ctx: Any) -> None:
        ctx.logger.info("start")
        try:
            ctx.durable_execute_async(hold).result()
        except asyncio.CancelledError:
            ctx.logger.info("asked to stop")
            raise

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_of(coroutine if kind == COROUTINE else plain)) as job:
            run_ = await submitted(job)
            await stuck()
            assert await run_.cancel()
            assert await run_.wait() is RunStatus.CANCELLED

    go(test)
    assert lines == ["start", "asked to stop"]


def test_g6_a_job_that_closes_in_good_order_says_what_is_held(
    kind: str, store: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soon, "APART", 3600.0)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, three_turns)) as job:
            await submitted(job)
            await stuck()
        assert lines == ["start", "after 1", "wrong"]
        async with legs.opened(agent_for(kind, three_turns)) as job:
            assert await results(await submitted(job)) == [1]

    go(test)
    assert lines == ALL


async def lease(event: Any, ctx: Any) -> None:
    ctx.logger.info("took %s", ctx.key)
    try:
        out(ctx, await ctx.wait_for_signal("ok"))
    finally:
        ctx.logger.info("released %s", ctx.key)


def plain_lease(event: Any, ctx: Any) -> None:
    ctx.logger.info("took %s", ctx.key)
    try:
        out(ctx, ctx.wait_for_signal("ok").result())
    finally:
        ctx.logger.info("released %s", ctx.key)


def lease_of(kind: str) -> Any:
    return lease if kind == COROUTINE else plain_lease


LEASE = ["took a", "released a"]


@pytest.mark.parametrize("how", ["drain", "stop", "exception"])
def test_g6_an_action_that_the_end_of_the_job_closes_says_nothing_of_its_end(
    how: str, kind: str, store: str, lines: list[str]
) -> None:
    async def test() -> None:
        legs, agent = Legs(store, kind), agent_of(lease_of(kind))
        with contextlib.suppress(PerdureError):
            async with legs.crashing(agent) if how == "exception" else legs.opened(agent) as job:
                await all_wait([await submitted(job)])
                if how == "drain":
                    job.drain_soon()
                elif how == "stop":
                    job.stop_now()
        assert lines == ["took a"]
        async with legs.opened(agent) as job:
            run_ = await submitted(job)
            await run_.signal("ok", 1)
            assert await results(run_) == [1]

    go(test)
    assert lines == LEASE


@pytest.mark.parametrize("kind", KINDS)
def test_g6_an_action_that_leaves_memory_says_nothing_of_its_end(
    kind: str, store: str, lines: list[str]
) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_of(lease_of(kind))) as job:
            runs = [await job.submit({}, key=key, id=key) for key in "abc"]
            await all_wait(runs)
            await until(lambda: len(runs_of(job).executions) == 1)
            assert sorted(lines) == ["took a", "took b", "took c"]
            for run_ in runs:
                await run_.signal("ok", 1)
                assert await results(run_) == [1]

    go(test)
    assert sorted(lines) == sorted(f"{did} {key}" for key in "abc" for did in ("took", "released"))


async def fails_behind_a_lease(event: Any, ctx: Any) -> None:
    """Fail, at the first try, when the other action of the run waits."""
    await ctx.durable_execute_async(hold)
    State.calls.append("try")
    if State.calls.count("try") == 1:
        raise LookupError("once")


def two_actions(kind: str) -> Any:
    other = agent_of(lease_of(kind))
    return other.add_action("fails", [InputEvent], fails_behind_a_lease)


async def let_one_fail(run_: Any, lines: list[str]) -> None:
    await stuck()
    await until(lambda: "took a" in lines)
    State.gate.release()


def test_g6_an_action_that_ends_since_another_failed_says_so_once(
    kind: str, store: str, lines: list[str]
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(two_actions(kind)) as job:
            run_ = await submitted(job)
            await let_one_fail(run_, lines)
            with pytest.raises(LookupError):
                await results(run_)
            await until(lambda: len(lines) == 2)  # its thread may be a moment behind

    go(test)
    assert lines == LEASE


def test_g6_an_action_that_begins_again_since_another_failed_says_its_end_once(
    kind: str, store: str, lines: list[str]
) -> None:
    async def test() -> None:
        legs = Legs(
            store, kind, error_handling_strategy="retry", max_retries=1, retry_wait_interval=0.0
        )
        async with legs.opened(two_actions(kind)) as job:
            run_ = await submitted(job)
            await let_one_fail(run_, lines)
            await until(lambda: State.calls.count("try") == 2)
            await run_.signal("ok", 1)
            assert await results(run_) == [1]

    go(test)
    assert lines == LEASE


def test_g6_an_action_that_is_ended_for_its_spinning_says_its_end_once(
    store: str, lines: list[str]
) -> None:
    async def spins(event: Any, ctx: Any) -> None:
        try:
            while True:
                await asyncio.sleep(0)
        finally:
            ctx.logger.info("left")

    async def test() -> None:
        async with Legs(store).opened(agent_of(spins)) as job:
            with pytest.raises(SpinningActionError):
                await results(await submitted(job))

    go(test)
    assert lines == ["left"]


def test_g6_what_a_callable_says_is_said_though_its_action_is_closed(
    kind: str, store: str, lines: list[str]
) -> None:
    """It is a callable's own, on the loop or on a thread: it was executed, and is again."""

    def coroutine_or_plain(event: Any, ctx: Any) -> Any:
        async def on_loop() -> None:
            try:
                await hold()
            finally:
                ctx.logger.info("callable left")

        return ctx.durable_execute_async(on_loop)

    async def coroutine(event: Any, ctx: Any) -> None:
        await coroutine_or_plain(event, ctx)

    def plain(event: Any, ctx: Any) -> None:
        coroutine_or_plain(event, ctx).result()

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_of(coroutine if kind == COROUTINE else plain)) as job:
            await submitted(job)
            await stuck()

    go(test)
    assert lines == ["callable left"]


def test_a_line_says_what_its_arguments_were(store: str, lines: list[str]) -> None:
    async def changes(event: Any, ctx: Any) -> None:
        seen = ["one"]
        ctx.logger.info("seen %s", seen)
        seen.append("two")
        await ctx.durable_execute_async(echo, 1)

    async def test() -> None:
        async with Legs(store).opened(agent_of(changes)) as job:
            await (await submitted(job)).wait()

    go(test)
    assert lines == ["seen ['one']"]


def test_a_handler_that_fails_harms_no_run(
    store: str, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError("the handler's own")

    async def test() -> None:
        legs, broken = Legs(store), Broken()
        logging.getLogger("perdure.run").addHandler(broken)
        try:
            State.gate.open = True
            async with legs.opened(agent_for(COROUTINE, three_turns)) as job:
                assert await results(await submitted(job)) == [1]
        finally:
            logging.getLogger("perdure.run").removeHandler(broken)

    go(test)
    assert "a handler of what an action logs failed" in caplog.text


def test_an_action_without_lines_costs_no_mark(kind: str, store: str) -> None:
    def silent(event: Any, ctx: Any) -> Any:
        ctx.logger.debug("not enabled")
        yield ctx.durable_execute_async(echo, 1)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_of(action_for(kind, silent))) as job:
            run_ = await submitted(job)
            await run_.wait()
            found = await services_of(job).commits._store.records([runs_of(job)._job << 40 | 1])
            assert [Record(*record).kind for each in found.values() for record in each] == [1, 2, 7]

    go(test)


def test_what_was_recorded_before_lines_were_marked_is_taken_for_said() -> None:
    start = Record.start(1, 0, "go", version=0, at=1)
    assert ActionHistory(start=start).marked_lines is None
    assert ActionHistory(start=start._replace(rules=1)).marked_lines == {}
