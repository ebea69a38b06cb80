"""G9: every call settles, whatever the exception does that it raises when it is asked."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable
from typing import Any

import greenlet
import pytest
from tests.promises.support import (
    agent_of,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    pick,
)

from perdure import DurableCallError, Limit, LocalEngine, RetryPolicy

ONE = [{"k": "a"}]
LIMITS = {"limits": {"one": Limit(concurrency=1)}}
observed: list[Any] = []  # what an action saw, in each of its executions


class Foreign(BaseException):
    """Of a library that cancels in its own way."""


class TextError(Exception):
    """Its text raises what is no ordinary exception."""

    def __str__(self) -> str:
        raise Foreign("in __str__")


class ExitingTextError(Exception):
    """Its text would end the process."""

    def __str__(self) -> str:
        raise SystemExit("in __str__")


class InterruptingTextError(Exception):
    """Its text would end the process, too."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


class TruthError(Exception):
    """It is neither true nor false."""

    def __bool__(self) -> bool:
        raise Foreign("in __bool__")


class ProxyError(Exception):
    """A proxy whose target is gone."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class ForeignProxyError(Exception):
    """Another one."""

    def __getattribute__(self, name: str) -> Any:
        raise Foreign(name)


class ClassError(Exception):
    """It does not say what it is."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")


HOSTILE: dict[str, type[Exception]] = {
    each.__name__: each
    for each in (
        TextError, ExitingTextError, InterruptingTextError, TruthError, ProxyError,
        ForeignProxyError, ClassError,
    )
}  # fmt: skip
TELLING = ("TextError", "ExitingTextError", "InterruptingTextError", "TruthError")
POLICY = RetryPolicy(max_attempts=2, initial_interval=0.001)


def on_thread(name: str) -> None:
    raise HOSTILE[name]("said")


async def in_a_coroutine(name: str) -> None:
    raise HOSTILE[name]("said")


async def suspended(name: str) -> None:
    await asyncio.sleep(0)
    raise HOSTILE[name]("said")


def nothing() -> str:
    return "the limit's place is free"


def seen_of(error: Exception) -> str:
    kind = type(error)
    return f"{error.type_name}" if kind is DurableCallError else kind.__name__


async def asks(event: Any, ctx: Any) -> None:
    seen = []
    limited = ctx.with_options(limit="one")
    again = limited.with_options(retry=POLICY)
    for name in HOSTILE:
        for func in (on_thread, in_a_coroutine, suspended):
            for asked in (limited, again):
                try:
                    await asked.durable_execute_async(func, name)
                except Exception as error:
                    seen.append(seen_of(error))
        try:
            limited.durable_execute(on_thread, name)
        except Exception as error:
            seen.append(seen_of(error))
    seen.append(await limited.durable_execute_async(nothing))
    observed.append(seen)
    await ctx.durable_execute_async(hold)
    out(ctx, seen)


def asks_plain(event: Any, ctx: Any) -> None:
    seen = []
    limited = ctx.with_options(limit="one")
    again = limited.with_options(retry=POLICY)
    for name in HOSTILE:
        for func in (on_thread, in_a_coroutine, suspended):
            for asked in (limited, again):
                try:
                    asked.durable_execute_async(func, name).result()
                except Exception as error:
                    seen.append(seen_of(error))
        try:
            limited.durable_execute(on_thread, name)
        except Exception as error:
            seen.append(seen_of(error))
    seen.append(limited.durable_execute_async(nothing).result())
    observed.append(seen)
    ctx.durable_execute_async(hold).result()
    out(ctx, seen)


def test_g9_a_call_settles_whatever_its_exception_raises_when_asked(kind: str, store: str) -> None:
    agent = pick(kind, asks, asks_plain)
    observed.clear()
    crash_and_resume(agent, ONE, store=store, config={**config_of(kind), **LIMITS})
    live, replayed = observed
    assert replayed == live
    expected = [name if name in TELLING else f"{__name__}.{name}" for name in HOSTILE]
    assert live == [each for name in expected for each in [name] * 7] + [nothing()]


@pytest.mark.parametrize("name", HOSTILE)
def test_g9_a_run_fails_whatever_its_exception_raises_when_asked(
    kind: str, store: str, name: str
) -> None:
    async def fails(event: Any, ctx: Any) -> None:
        raise HOSTILE[name]("said")

    def fails_plain(event: Any, ctx: Any) -> None:
        raise HOSTILE[name]("said")

    failed = failures(pick(kind, fails, fails_plain), ONE, store=store, config=config_of(kind))
    assert [info.key for info in failed.failed] == ["a"]
    assert name in error_text(failed)


@pytest.mark.parametrize("after_a_call", [False, True])
def test_g9_a_run_fails_by_what_ends_a_greenlet(kind: str, store: str, after_a_call: bool) -> None:
    async def fails(event: Any, ctx: Any) -> None:
        if after_a_call:
            await ctx.durable_execute_async(nothing)
        raise greenlet.GreenletExit("said")

    def fails_plain(event: Any, ctx: Any) -> None:
        if after_a_call:
            ctx.durable_execute_async(nothing).result()
        raise greenlet.GreenletExit("said")

    failed = failures(pick(kind, fails, fails_plain), ONE, store=store, config=config_of(kind))
    assert error_text(failed) == "greenlet.GreenletExit: said"


class HoldsItselfError(ExceptionGroup[Exception]):
    """It says that it is a member of its own."""

    @property
    def exceptions(self) -> Any:
        return (self,)


class EndlessError(ExceptionGroup[Exception]):
    """It says that its members never end."""

    @property
    def exceptions(self) -> Any:
        return itertools.repeat(ValueError(1))


def deep() -> Exception:
    error: Exception = ValueError("at the bottom")
    for _ in range(2 * sys.getrecursionlimit()):
        error = ExceptionGroup("deep", [error])
    return error


GROUPS: dict[str, Callable[[], Exception]] = {
    "deep": deep,
    "itself": lambda: HoldsItselfError("itself", [ValueError("real")]),
    "endless": lambda: EndlessError("endless", [ValueError("real")]),
    "within": lambda: LookupError("within"),
}


def raises_group(name: str) -> None:
    if name == "within":  # it is asked for by whoever formats what it came from
        raise GROUPS[name]() from HoldsItselfError("cause", [ValueError("real")])
    raise GROUPS[name]()


async def raises_group_in_a_coroutine(name: str) -> None:
    raises_group(name)


@pytest.mark.parametrize("name", GROUPS)
def test_g9_a_group_without_an_end_is_a_failure_like_any_other(
    kind: str, store: str, name: str
) -> None:
    async def fails(event: Any, ctx: Any) -> None:
        for func in (raises_group, raises_group_in_a_coroutine):
            with pytest.raises(Exception, match=name):
                await ctx.durable_execute_async(func, name)
        with pytest.raises(Exception, match=name):
            ctx.durable_execute(raises_group, name)
        raises_group(name)

    def fails_plain(event: Any, ctx: Any) -> None:
        for func in (raises_group, raises_group_in_a_coroutine):
            with pytest.raises(Exception, match=name):
                ctx.durable_execute_async(func, name).result()
        with pytest.raises(Exception, match=name):
            ctx.durable_execute(raises_group, name)
        raises_group(name)

    failed = failures(pick(kind, fails, fails_plain), ONE, store=store, config=config_of(kind))
    assert f": {name}" in error_text(failed)


async def alone() -> None:
    raise KeyboardInterrupt


async def with_others() -> None:
    raise BaseExceptionGroup("g", [ValueError("v"), KeyboardInterrupt()])


async def in_depth() -> None:
    inner = BaseExceptionGroup("h", [KeyboardInterrupt()])
    raise BaseExceptionGroup("g", [ValueError("v"), inner])


def inline() -> None:
    raise BaseExceptionGroup("g", [ValueError("v"), KeyboardInterrupt()])


async def far_down() -> None:
    error: BaseException = KeyboardInterrupt()
    for _ in range(2 * sys.getrecursionlimit()):
        error = BaseExceptionGroup("g", [ValueError("v"), error])
    raise error


@pytest.mark.parametrize("func", [alone, with_others, in_depth, far_down, inline])
def test_g9_an_interrupt_in_a_group_ends_the_process_as_one_alone_does(
    func: Callable[[], Any],
) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        if func is inline:
            ctx.durable_execute(func)
        await ctx.durable_execute_async(func)

    with pytest.raises(KeyboardInterrupt):
        LocalEngine("memory://").run(agent_of(calls), ONE, key="k")
