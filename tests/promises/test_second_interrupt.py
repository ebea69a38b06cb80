"""A second Ctrl-C ends the loop between two steps, and no run or call takes it for its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.support import COROUTINE, PLAIN, State, agent_of, config_of, out, pick, run

from perdure import LocalEngine
from perdure.engine import interrupts
from perdure.executor import running

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="no signals of a thread"
)

INPUTS = [{"k": f"k{n}"} for n in range(60)]


def copy_of(store: str, folder: Path) -> str:
    path = folder / "copy.db"
    with (
        contextlib.closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as found,
        contextlib.closing(sqlite3.connect(path)) as made,
    ):
        found.backup(made)
    return f"sqlite:///{path}"


async def echo(value: Any) -> Any:
    await asyncio.sleep(0.002)
    return value


@pytest.mark.parametrize("kind", [COROUTINE, PLAIN])
def test_g6_a_second_interrupt_waits_for_the_end_of_a_turn(
    sqlite: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "ONE_MOMENT", 0.0)
    went_on: list[str] = []

    def twice() -> None:
        if not went_on:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            went_on.append("here")

    async def steps(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, 1)
        twice()
        await ctx.durable_execute_async(echo, 2)
        out(ctx, "done")

    def plain_steps(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, 1).result()
        twice()
        ctx.durable_execute_async(echo, 2).result()
        out(ctx, "done")

    agent, config = pick(kind, steps, plain_steps), config_of(kind)
    with pytest.raises(KeyboardInterrupt):
        run(agent, [{"k": "a"}], store=sqlite, config=config, id="k")
    assert went_on == ["here"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # The process would end here, and may hold the job until then.
    copy = copy_of(sqlite, tmp_path)
    assert run(agent, [{"k": "a"}], store=copy, config=config, id="k") == ["done"]


def test_g6_a_first_interrupt_stops_in_good_order(sqlite: str) -> None:
    async def steps(event: Any, ctx: Any) -> None:
        if not State.calls:
            State.calls.append("once")
            signal.raise_signal(signal.SIGINT)
        await ctx.durable_execute_async(echo, 1)
        out(ctx, "done")

    with pytest.raises(KeyboardInterrupt):
        run(agent_of(steps), [{"k": "a"}], store=sqlite, id="k")
    assert run(agent_of(steps), [{"k": "a"}], store=sqlite, id="k") == ["done"]


def test_a_step_that_comes_to_no_end_is_interrupted_all_the_same(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "ONE_MOMENT", 0.0)
    monkeypatch.setattr(interrupts, "LONGEST_STEP", 0.05)
    main = threading.get_ident()

    async def blocks(event: Any, ctx: Any) -> None:
        for delay in (0.02, 0.04):
            threading.Timer(delay, signal.pthread_kill, (main, signal.SIGINT)).start()
        time.sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        run(agent_of(blocks), [{"k": "a"}], store=sqlite, id="k")


@pytest.mark.parametrize("calls", [1, 20, 70, 130, 200])
def test_g9_calls_that_end_with_the_loop_have_no_outcome(
    sqlite: str, calls: int, tmp_path: Path
) -> None:
    """What is ready when the loop ends begins further calls, and all others are cancelled."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def counted(value: Any) -> Any:
        State.calls.append(value)
        if len(State.calls) == calls:
            asyncio.get_running_loop().call_soon(interrupt)
        await asyncio.sleep(0.002)
        return value

    async def steps(event: Any, ctx: Any) -> None:
        for n in range(4):
            await ctx.durable_execute_async(counted, n)
        out(ctx, event.input["k"])

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(LocalEngine(sqlite).run_async(agent_of(steps), INPUTS, key="k", id="k"))
    found = run(agent_of(steps), INPUTS, store=copy_of(sqlite, tmp_path), id="k")
    assert sorted(found) == sorted(each["k"] for each in INPUTS)


@pytest.mark.parametrize("turn", [1, 30, 90])
def test_g9_an_interrupt_as_a_turn_gives_the_loop_back_fails_no_run(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """The host goes on for a while, and would do so in the loop of that turn's action."""
    leave = running.leave

    def interrupted(before: running.Place) -> None:
        State.calls.append("left")
        if len(State.calls) == turn:
            raise KeyboardInterrupt
        leave(before)

    async def steps(event: Any, ctx: Any) -> None:
        for n in range(3):
            await ctx.durable_execute_async(echo, n)
        out(ctx, event.input["k"])

    monkeypatch.setattr(running, "leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(LocalEngine(sqlite).run_async(agent_of(steps), INPUTS, key="k", id="k"))
    assert len(State.calls) > turn
    assert LocalEngine(sqlite).runs(status="failed") == []
    found = run(agent_of(steps), INPUTS, store=sqlite, id="k")
    assert sorted(found) == sorted(each["k"] for each in INPUTS)


def test_no_call_is_made_any_more_once_one_was_interrupted(sqlite: str) -> None:
    """Others that are ready may block for as long, each for itself."""

    def compute(value: Any) -> Any:
        State.calls.append(value)
        if len(State.calls) == 1:
            raise KeyboardInterrupt
        return value

    async def steps(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute(compute, event.input["k"]))

    with pytest.raises(KeyboardInterrupt):
        run(agent_of(steps), INPUTS, store=sqlite, id="k")
    assert len(State.calls) == 1
    found = run(agent_of(steps), INPUTS, store=sqlite, id="k")
    assert sorted(found) == sorted(each["k"] for each in INPUTS)


def test_an_interrupt_in_a_plain_call_stops_the_job_where_its_loop_goes_on(sqlite: str) -> None:
    """As in IPython, which runs the loop again for the next line."""

    def compute() -> str:
        if not State.calls:
            State.calls.append("once")
            raise KeyboardInterrupt
        return "done"

    async def steps(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute(compute))

    def main(loop: asyncio.AbstractEventLoop) -> None:
        job = loop.create_task(
            LocalEngine(sqlite).run_async(agent_of(steps), [{"k": "a"}], key="k", id="k")
        )
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(asyncio.wait_for(job, PATIENCE))

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        main(loop)
    assert run(agent_of(steps), [{"k": "a"}], store=sqlite, id="k") == ["done"]


def signal_soon() -> None:
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)


def test_the_job_is_given_back_to_the_process_after_a_second_interrupt(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "ONE_MOMENT", 0.0)

    async def tidies_up() -> str:
        if State.calls:
            return "done"
        State.calls.append("once")
        signal_soon()
        try:
            await asyncio.sleep(3600)
        finally:
            signal_soon()
            await asyncio.sleep(3600)
        return "never"

    async def steps(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(tidies_up))

    engine = LocalEngine(store)
    with pytest.raises(KeyboardInterrupt):
        engine.run(agent_of(steps), [{"k": "a"}], key="k", id="k")
    found = engine.run(agent_of(steps), [{"k": "a"}], key="k", id="k")
    assert [each.value for each in found] == ["done"]


def test_a_third_interrupt_gives_up_what_closes_and_gives_the_job_back(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "ONE_MOMENT", 0.0)

    async def hears_of_nothing() -> str:
        if State.calls:
            return "done"
        State.calls.append("once")
        while True:
            signal_soon()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def steps(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(hears_of_nothing))

    of_the_process = gc.get_threshold(), logging.getLogRecordFactory()
    engine = LocalEngine(store)
    with pytest.raises(KeyboardInterrupt):
        engine.run(agent_of(steps), [{"k": "a"}], key="k", id="k")
    assert (gc.get_threshold(), logging.getLogRecordFactory()) == of_the_process
    found = engine.run(agent_of(steps), [{"k": "a"}], key="k", id="k")
    assert [each.value for each in found] == ["done"]


@pytest.mark.parametrize("where", ["source", "key"])
def test_an_interrupt_as_inputs_are_read_closes_the_job(
    store: str, where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends one task after the other otherwise, each time with the loop."""
    monkeypatch.setattr(interrupts, "ONE_MOMENT", 0.0)

    def raised() -> str:
        if not State.calls:
            State.calls.append("once")
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
        return "b"

    def source() -> Any:
        yield {"k": "a"}
        yield {"k": raised() if where == "source" else "b"}

    def key(value: Any) -> Any:
        return value["k"] if where == "source" or value["k"] == "a" else raised()

    async def steps(event: Any, ctx: Any) -> None:
        out(ctx, event.input["k"])

    gc.collect()  # what other tests have left says so now, or in the midst of this one
    caplog.clear()
    engine = LocalEngine(store)
    with pytest.raises(KeyboardInterrupt):
        engine.run(agent_of(steps), source(), key=key)
    assert [each.name for each in caplog.records] == ["perdure"]  # how to go on
    found = engine.run(agent_of(steps), source(), key=key)
    assert sorted(each.value for each in found) == ["a", "b"]


def test_signals_of_one_moment_are_one(sqlite: str) -> None:
    heard = interrupts.Interrupts()

    async def main() -> None:
        heard.stop_this_task()
        for _ in range(10):
            signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)

    with heard, pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert heard.count == 1
