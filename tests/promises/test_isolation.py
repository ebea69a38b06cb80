"""G8, G17, G24: a context works in its own action only; an action ends clean."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    failures,
    hold,
    out,
    pick,
    run,
)

from perdure import (
    Agent,
    ContextAccessError,
    Event,
    InputEvent,
    OutputEvent,
    RunsFailedError,
    action,
)

ONE = [{"k": "a"}]
held: list[Any] = []


def uses(ctx: Any) -> list[str]:
    """Try everything that a context offers; return what was not refused."""
    tries = {
        "send_event": lambda: ctx.send_event(OutputEvent(output=1)),
        "durable_execute": lambda: ctx.durable_execute(str, 1),
        "durable_execute_async": lambda: ctx.durable_execute_async(str, 1),
        "sleep": lambda: ctx.sleep(1),
        "now": lambda: ctx.now(),
        "uuid4": lambda: ctx.uuid4(),
        "random": lambda: ctx.random,
        "get": lambda: ctx.short_term_memory.get("x"),
        "set": lambda: ctx.short_term_memory.set("x", 1),
        "update": lambda: ctx.sensory_memory.update("x", lambda n: 1),
        "names": lambda: ctx.sensory_memory.get_field_names(),
    }
    passed = []
    for name, attempt in tries.items():
        try:
            attempt()
        except ContextAccessError:
            continue
        except BaseException as error:
            passed.append(f"{name}: {type(error).__name__}")
        else:
            passed.append(name)
    return passed


def in_thread() -> list[str]:
    return uses(held[-1])


async def in_coroutine() -> list[str]:
    return uses(held[-1])


async def leaks(event: Any, ctx: Any) -> None:
    held.append(ctx)
    results = [
        await ctx.durable_execute_async(in_thread),
        await ctx.durable_execute_async(in_coroutine),
        ctx.durable_execute(in_thread),
    ]
    out(ctx, results)


def leaks_plain(event: Any, ctx: Any) -> None:
    held.append(ctx)
    results = [
        ctx.durable_execute_async(in_thread).result(),
        ctx.durable_execute_async(in_coroutine).result(),
        ctx.durable_execute(in_thread),
    ]
    out(ctx, results)


def test_g8_a_context_is_refused_inside_durable_callables(kind: str, store: str) -> None:
    agent = pick(kind, leaks, leaks_plain)
    assert run(agent, ONE, store=store, config=config_of(kind)) == [[[], [], []]]


def test_g8_a_context_is_refused_after_its_end(kind: str) -> None:
    run(pick(kind, leaks, leaks_plain), ONE, config=config_of(kind))
    assert uses(held[-1]) == []
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(uses(held[-1])))
    thread.start()
    thread.join()
    assert seen == [[]]


def test_g8_a_context_is_refused_in_another_action() -> None:
    class Two(Agent):
        @action(InputEvent)
        async def first(self, event: Any, ctx: Any) -> None:
            held.append(ctx)
            ctx.send_event(Event(type="next", attributes={}))
            await ctx.durable_execute_async(echo, 1)

        @action(InputEvent)
        async def meanwhile(self, event: Any, ctx: Any) -> None:
            out(ctx, uses(held[-1]))

    held.clear()
    assert run(Two(), ONE) == [[]]


def test_g8_a_context_handed_over_as_argument_is_refused() -> None:
    async def hands_over(event: Any, ctx: Any) -> None:
        with pytest.raises(Exception, match="context"):
            await ctx.durable_execute_async(echo, ctx)
        out(ctx, "refused")

    assert run(agent_of(hands_over), ONE) == ["refused"]


def test_g8_a_callable_that_sets_an_event_of_the_action_fails_it(store: str) -> None:
    async def waits_for_it(event: Any, ctx: Any) -> None:
        ready = asyncio.Event()

        async def sets() -> None:
            ready.set()

        call = ctx.durable_execute_async(sets)
        await ready.wait()
        await call
        out(ctx, "unrecorded input")

    failed = failures(agent_of(waits_for_it), ONE, store=store)
    assert "ActionLoopError" in error_text(failed)
    assert "durable call" in error_text(failed)
    assert failed.outputs == []


def test_g8_a_thread_that_resolves_a_future_of_the_action_fails_it() -> None:
    async def waits_for_it(event: Any, ctx: Any) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        call = ctx.durable_execute_async(lambda: loop.call_soon_threadsafe(future.set_result, 1))
        await future
        await call
        out(ctx, "unrecorded input")

    assert "ActionLoopError" in error_text(failures(agent_of(waits_for_it), ONE))


@pytest.mark.parametrize(
    "io",
    [
        lambda: asyncio.to_thread(str, 1),
        lambda: asyncio.open_connection("localhost", 1),
        lambda: asyncio.create_subprocess_exec("true"),
    ],
    ids=["to_thread", "open_connection", "subprocess"],
)
def test_g8_input_and_output_on_the_actions_loop_is_refused(io: Any) -> None:
    async def does_io(event: Any, ctx: Any) -> None:
        await io()

    text = error_text(failures(agent_of(does_io), ONE))
    assert "ActionLoopError" in text
    assert "durable_execute_async" in text


def test_g17_an_action_that_polls_fails_and_is_told_why(store: str) -> None:
    async def polls(event: Any, ctx: Any) -> None:
        if event.input["k"] == "good":
            out(ctx, "good")
            return
        call = ctx.durable_execute_async(hold)
        while not call.done():
            await asyncio.sleep(0)

    failed = failures(agent_of(polls), [{"k": "bad"}, {"k": "good"}], store=store)
    assert [o.value for o in failed.outputs] == ["good"]
    assert "SpinningActionError" in error_text(failed)
    assert "await asyncio.sleep(0)" in error_text(failed)


async def generator(name: str, ended: list[str]) -> AsyncGenerator[int, None]:
    try:
        while True:
            yield 1
    finally:
        ended.append(name)


def test_g24_leftover_tasks_end_and_generators_close_in_creation_order(store: str) -> None:
    ended: list[str] = []

    async def leftover(ctx: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task began its end")
            await ctx.durable_execute_async(echo, "in finally")
            await asyncio.sleep(0.001)
            ended.append("task ended")

    async def leaves(event: Any, ctx: Any) -> None:
        State.calls.append(asyncio.ensure_future(leftover(ctx)))
        generators = [generator(str(n), ended) for n in range(3)]
        State.calls.append(generators)
        for one in reversed(generators):
            await anext(one)
        await asyncio.sleep(0)
        State.calls.append(ctx.durable_execute_async(sleeps))
        await ctx.durable_execute_async(echo, "go on")
        out(ctx, "done")

    async def sleeps() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("call cancelled")
            raise

    assert run(agent_of(leaves), ONE, store=store) == ["done"]
    assert ended[:2] == ["task began its end", "task ended"]
    # Begun in the order 2, 1, 0: that is when they exist for the loop.
    assert [name for name in ended if name.isdigit()] == ["2", "1", "0"]
    assert "call cancelled" in ended
    assert "in finally" in State.calls


def test_g24_a_leftover_task_that_failed_is_logged_with_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("in its end")

    async def leaves(event: Any, ctx: Any) -> None:
        State.calls.append(asyncio.create_task(fails(), name="a leftover"))
        await asyncio.sleep(0)
        out(ctx, "done")

    with caplog.at_level(logging.ERROR):
        assert run(agent_of(leaves), ONE) == ["done"]
    assert any("a leftover" in record.getMessage() for record in caplog.records)


def test_g24_a_clean_end_is_the_same_on_replay(store: str) -> None:
    async def leftover(ctx: Any, kept: list[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            kept.append(await ctx.durable_execute_async(echo, "farewell"))
            kept.append(await ctx.durable_execute_async(hold))
            ctx.short_term_memory.set("kept", kept)

    async def leaves(event: Any, ctx: Any) -> None:
        State.calls.append(asyncio.ensure_future(leftover(ctx, [])))
        await asyncio.sleep(0)
        ctx.send_event(Event(type="next", attributes={}))

    async def reads(event: Any, ctx: Any) -> None:
        out(ctx, ctx.short_term_memory.get("kept"))

    agent = agent_of(leaves).add_action("reads", ["next"], reads)
    assert crash_and_resume(agent, ONE, store=store) == [["farewell", "held"]]
    assert State.calls.count("farewell") == 1


def test_g24_an_action_whose_tasks_are_started_again_for_ever_fails(
    kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.executor.continuation.SPIN_LIMIT", 1_000)

    async def worker() -> None:
        await asyncio.Queue().get()  # which uses the loop as it is left

    def start(_ended: object = None) -> None:
        asyncio.get_running_loop().create_task(worker()).add_done_callback(start)

    async def supervises(event: Any, ctx: Any) -> None:
        start()
        out(ctx, await ctx.durable_execute_async(hold))

    def supervises_plain(event: Any, ctx: Any) -> None:
        start()
        out(ctx, ctx.durable_execute_async(hold).result())

    agent = pick(kind, supervises, supervises_plain)
    with pytest.raises(RunsFailedError) as failed:
        crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    text = error_text(failed.value)
    assert "SpinningActionError: go never ends" in text
    assert f"{worker.__qualname__}); start none" in text
    assert failed.value.outputs == []


def test_g24_a_generator_that_goes_on_when_it_is_closed_is_closed_once(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[Any] = []
    asked: list[str] = []

    async def goes_on(name: str) -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            asked.append(name)
            yield 2

    async def opens(event: Any, ctx: Any) -> None:
        for name in ("a", "b"):
            kept.append(goes_on(name))
            await anext(kept[-1])
        kept.append(generator("c", asked))
        await anext(kept[-1])
        out(ctx, "done")

    with caplog.at_level(logging.ERROR):
        assert run(agent_of(opens), ONE, store=store) == ["done"]
    assert asked == ["a", "b", "c"]
    assert caplog.text.count("async generator ignored GeneratorExit") == 2


@pytest.mark.parametrize("kind", [COROUTINE, "plain"])
def test_g24_a_call_in_flight_at_the_end_is_dropped(kind: str, store: str) -> None:
    async def leaves(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, "dropped", 60)
        out(ctx, "done")

    def leaves_plain(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, "dropped", 60)
        out(ctx, "done")

    assert run(pick(kind, leaves, leaves_plain), ONE, store=store) == ["done"]


DRAWS: dict[str, Callable[[random.Random], object]] = {
    "random": lambda kept: kept.random(),
    "choice": lambda kept: kept.choice("ab"),
    "shuffle": lambda kept: kept.shuffle([1, 2]),
    "gauss": lambda kept: kept.gauss(),
    "randbytes": lambda kept: kept.randbytes(3),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_g8_chance_is_refused_after_the_end_of_its_action(draw: str, kind: str) -> None:
    kept: list[random.Random] = []

    async def go(event: Any, ctx: Any) -> None:
        kept.append(ctx.random)
        out(ctx, len([ctx.random.gauss(), DRAWS[draw](ctx.random)]))

    def go_plain(event: Any, ctx: Any) -> None:
        kept.append(ctx.random)
        out(ctx, len([ctx.random.gauss(), DRAWS[draw](ctx.random)]))

    assert run(pick(kind, go, go_plain), ONE, config=config_of(kind)) == [2]
    with pytest.raises(ContextAccessError, match=r"run r1 .*action go: ctx\.random was kept"):
        DRAWS[draw](kept[0])
