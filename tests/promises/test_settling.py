"""G9: every call settles, with whatever BaseException it ends, and frees its limit's place."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import greenlet
import pytest
from tests.promises.support import (
    ONE,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    pick,
    run,
    values,
)

from perdure import LocalEngine, RetryPolicy


class Stop(BaseException):
    """A library's own way to unwind."""


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """One that lets nothing be set on it."""

    code: int


class Sealed(Exception):
    """One that refuses attributes, also those of the interpreter."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} is sealed")


class Unreadable(Exception):
    """One that cannot even be shown."""

    def __init__(self, *, odd: str) -> None:
        super().__init__(odd)

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __reduce__(self) -> Any:
        raise RuntimeError("no form")


def parse() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int)
    with contextlib.redirect_stderr(io.StringIO()):
        return parser.parse_args(["--n", "xx"])


def group() -> Any:
    raise BaseExceptionGroup("both", [ValueError(1), Stop("s"), SystemExit(3), Frozen(4)])


RAISED: dict[str, tuple[Callable[[], BaseException], str]] = {
    "own": (lambda: Stop("no"), "DurableCallError"),
    "generator exit": (lambda: GeneratorExit("x"), "DurableCallError"),
    "greenlet exit": (lambda: greenlet.GreenletExit("x"), "DurableCallError"),
    "cancelled": (lambda: asyncio.CancelledError("x"), "DurableCallError"),
    "system exit": (lambda: SystemExit(2), "DurableCallError"),
    "stop iteration": (lambda: StopIteration(1), "DurableCallError"),
    "frozen": (lambda: Frozen(7), "Frozen"),
    "sealed": (lambda: Sealed("x"), "Sealed"),
    "unreadable": (lambda: Unreadable(odd="x"), "Unreadable"),
}


def raises(what: str) -> Any:
    State.calls.append(what)
    if what == "argparse":
        return parse()
    if what == "group":
        return group()
    raise RAISED[what][0]()


async def raises_in_coroutine(what: str) -> Any:
    await asyncio.sleep(0)
    return raises(what)


def told_of(error: BaseException | None) -> Any:
    if isinstance(error, BaseExceptionGroup):
        return [type(error).__name__, [type(member).__name__ for member in error.exceptions]]
    return type(error).__name__


def expected(what: str) -> Any:
    if what == "group":
        members = ["ValueError", "DurableCallError", "DurableCallError", "Frozen"]
        return ["ExceptionGroup", members]
    if what == "argparse":
        return "DurableCallError"
    return RAISED[what][1]


@pytest.mark.parametrize("callee", ["coroutine", "thread", "inline", "reconciler"])
@pytest.mark.parametrize("what", [*RAISED, "group", "argparse"])
def test_g9_every_exception_settles_its_call(what: str, callee: str, kind: str, store: str) -> None:
    # A coroutine that raises StopIteration has raised a RuntimeError: so it is in Python.
    wanted = expected(what)
    if what == "stop iteration" and callee in ("coroutine", "reconciler"):
        wanted = "RuntimeError"

    def call(ctx: Any) -> Any:
        limited = ctx.with_options(limit="one")
        if callee == "thread":
            return limited.durable_execute_async(raises, what)
        if callee == "reconciler":
            return limited.durable_execute_async(in_doubt, what, reconciler=raises_in_coroutine)
        return limited.durable_execute_async(raises_in_coroutine, what)

    async def go(event: Any, ctx: Any) -> None:
        seen = []
        for _ in range(2):  # the limit's place is free again
            if callee == "inline":
                try:
                    ctx.with_options(limit="one").durable_execute(raises, what)
                except Exception as error:
                    seen.append(told_of(error))
            else:
                [outcome] = await ctx.gather(call(ctx))
                seen.append(told_of(outcome.error))
        await ctx.durable_execute_async(hold)
        out(ctx, seen)

    def go_plain(event: Any, ctx: Any) -> None:
        seen = []
        for _ in range(2):
            try:
                if callee == "inline":
                    ctx.with_options(limit="one").durable_execute(raises, what)
                else:
                    call(ctx).result()
            except Exception as error:
                seen.append(told_of(error))
        ctx.durable_execute_async(hold).result()
        out(ctx, seen)

    config = config_of(kind, **{"limits.one.concurrency": 1})
    results = crash_and_resume(pick(kind, go, go_plain), ONE, store=store, config=config)
    assert results == [[wanted, wanted]]


async def in_doubt(what: str) -> Any:
    """Leave its call in doubt in the first leg."""
    if State.leg == 1:
        await hold()
    return raises(what)


def test_g9_a_keyboard_interrupt_of_a_thread_is_its_own(kind: str) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt("by the callable")

    async def go(event: Any, ctx: Any) -> None:
        [outcome] = await ctx.gather(ctx.durable_execute_async(interrupted))
        out(ctx, str(outcome.error))

    def go_plain(event: Any, ctx: Any) -> None:
        [outcome] = ctx.gather(ctx.durable_execute_async(interrupted))
        out(ctx, str(outcome.error))

    agent = pick(kind, go, go_plain)
    assert run(agent, ONE, config=config_of(kind)) == ["KeyboardInterrupt: by the callable"]


@pytest.mark.parametrize("form", ["function", "lambda", "method", "object"])
def test_g9_a_system_exit_through_a_signal_handler_ends_the_process(form: str) -> None:
    class Handlers:
        def method(self, *_: Any) -> None:
            sys.exit(5)

        def __call__(self, *_: Any) -> None:
            sys.exit(5)

    def function(*_: Any) -> None:
        sys.exit(5)

    forms: dict[str, Any] = {
        "function": function, "lambda": lambda *_: sys.exit(5), "method": Handlers().method,
        "object": Handlers(),
    }  # fmt: skip

    async def told() -> str:
        State.calls.append("told")
        if State.leg == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
            for _ in range(1000):  # the handler runs between two of these
                pass
        return "went on"

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(told))

    before = signal.signal(signal.SIGUSR1, forms[form])
    engine = LocalEngine("memory://")
    try:
        with pytest.raises(SystemExit) as ended:
            engine.run(agent_of(go), ONE, key="k")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended.value.code == 5
    State.leg = 2
    assert values(engine.run(agent_of(go), ONE, key="k")) == ["went on"]
    assert State.calls == ["told", "told"]


def test_g9_a_retry_policy_that_cannot_say_ends_the_call(kind: str) -> None:
    class Odd(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            raise LookupError("cannot say")

    class Refuses(Exception, metaclass=Odd):
        pass

    async def fails() -> None:
        raise ValueError("v")

    policy = RetryPolicy(retry_on=(Refuses,), initial_interval=0.0)

    async def go(event: Any, ctx: Any) -> None:
        calls = [ctx.with_options(retry=policy, limit="one").durable_execute_async(fails)] * 2
        out(ctx, [told_of(one.error) for one in await ctx.gather(*calls)])

    def go_plain(event: Any, ctx: Any) -> None:
        call = ctx.with_options(retry=policy, limit="one").durable_execute_async(fails)
        out(ctx, [told_of(one.error) for one in ctx.gather(call)] * 2)

    config = config_of(kind, **{"limits.one.concurrency": 1})
    assert run(pick(kind, go, go_plain), ONE, config=config) == [["ValueError", "ValueError"]]


def test_g9_a_result_that_raises_when_it_is_looked_at_fails_its_call(kind: str) -> None:
    @dataclasses.dataclass
    class Lazy:
        value: int = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "value":
                raise RuntimeError("not loaded")
            return object.__getattribute__(self, name)

    def lazy() -> Lazy:
        return Lazy()

    async def go(event: Any, ctx: Any) -> None:
        [outcome] = await ctx.gather(ctx.durable_execute_async(lazy))
        out(ctx, str(outcome.error))

    def go_plain(event: Any, ctx: Any) -> None:
        [outcome] = ctx.gather(ctx.durable_execute_async(lazy))
        out(ctx, str(outcome.error))

    [text] = run(pick(kind, go, go_plain), ONE, config=config_of(kind))
    assert "cannot be journaled: it raises RuntimeError: not loaded" in text


def test_g9_a_failure_larger_than_the_bound_of_a_value_is_still_told(kind: str) -> None:
    def fails() -> None:
        raise ValueError("x" * 5000)

    async def go(event: Any, ctx: Any) -> None:
        [outcome] = await ctx.gather(ctx.durable_execute_async(fails))
        out(ctx, type(outcome.error).__name__)

    def go_plain(event: Any, ctx: Any) -> None:
        [outcome] = ctx.gather(ctx.durable_execute_async(fails))
        out(ctx, type(outcome.error).__name__)

    config = config_of(kind, max_payload_bytes=300)
    assert run(pick(kind, go, go_plain), ONE, config=config) == ["DurableCallError"]


def test_a_plain_callable_that_returns_a_coroutine_is_awaited(kind: str, store: str) -> None:
    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        State.calls.append(n)
        if n < 0:
            raise Stop("in the coroutine")
        return n * 2

    async def go(event: Any, ctx: Any) -> None:
        later = lambda n: fetch(n)  # noqa: E731
        calls = [ctx.durable_execute_async(later, n) for n in (1, 2, -1)]
        got = [one.value or type(one.error).__name__ for one in await ctx.gather(*calls)]
        got.append(ctx.durable_execute(later, 4))
        out(ctx, got)

    def go_plain(event: Any, ctx: Any) -> None:
        later = lambda n: fetch(n)  # noqa: E731
        calls = [ctx.durable_execute_async(later, n) for n in (1, 2, -1)]
        got = [one.value or type(one.error).__name__ for one in ctx.gather(*calls)]
        got.append(ctx.durable_execute(later, 4))
        out(ctx, got)

    results = run(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    assert results == [[2, 4, "DurableCallError", 8]]


def test_g10_a_returned_coroutine_is_bounded_by_the_timeout_too(kind: str) -> None:
    ended = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def go(event: Any, ctx: Any) -> None:
        call = ctx.with_options(timeout=0.05).durable_execute_async(lambda: hangs())
        out(ctx, [type(one.error).__name__ for one in await ctx.gather(call)])

    def go_plain(event: Any, ctx: Any) -> None:
        call = ctx.with_options(timeout=0.05).durable_execute_async(lambda: hangs())
        out(ctx, [type(one.error).__name__ for one in ctx.gather(call)])

    assert run(pick(kind, go, go_plain), ONE, config=config_of(kind)) == [["TimeoutError"]]
    assert ended == [1]


def test_an_async_generator_is_refused_when_the_call_is_made(kind: str) -> None:
    async def numbers() -> Any:
        yield 1

    async def go(event: Any, ctx: Any) -> None:
        try:
            ctx.durable_execute_async(numbers)
        except TypeError as error:
            out(ctx, str(error))

    def go_plain(event: Any, ctx: Any) -> None:
        try:
            ctx.durable_execute_async(numbers)
        except TypeError as error:
            out(ctx, str(error))

    [text] = run(pick(kind, go, go_plain), ONE, config=config_of(kind))
    assert "is an async generator" in text
    assert "return a list" in text


@pytest.mark.parametrize("where", ["at once", "after a call", "in a task"])
def test_g9_an_action_that_calls_sys_exit_fails_and_the_others_go_on(
    where: str, kind: str, store: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        if where != "at once":
            await ctx.durable_execute_async(len, "x")
        if event.input["k"] == "bad":
            if where == "in a task":
                await asyncio.gather(exits())
            parse()
        out(ctx, event.input["k"])

    async def exits() -> None:
        parse()

    def go_plain(event: Any, ctx: Any) -> None:
        if where != "at once":
            ctx.durable_execute_async(len, "x").result()
        if event.input["k"] == "bad":
            parse()
        out(ctx, event.input["k"])

    inputs = [{"k": "a"}, {"k": "bad"}, {"k": "b"}]
    failed = failures(pick(kind, go, go_plain), inputs, store=store, config=config_of(kind))
    assert error_text(failed) == "SystemExit: 2"
    assert sorted(output.value for output in failed.outputs) == ["a", "b"]
