"""G9: a call settles whatever its result, or the class of an error, raises when it is asked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from tests.promises.support import (
    ONE,
    State,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    pick,
    run,
)

from perdure import RetryPolicy


class Stop(BaseException):
    """A library's own way to unwind."""


class Textless(Exception):
    """One that makes its text of what it does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


class TextStops(BaseException):
    """One whose text stops everything."""

    def __str__(self) -> str:
        raise Stop("text")


@dataclasses.dataclass
class Detached:
    """A row whose session is gone: each look at its value raises."""

    value: Any

    def __getattribute__(self, name: str) -> Any:
        if name in ("value", "__dict__"):
            raise State.raised
        return object.__getattribute__(self, name)


class Incomparable(pydantic.BaseModel):
    """A model that is journaled in its own form, which is compared with it."""

    url: pydantic.AnyUrl

    def __eq__(self, other: object) -> bool:
        raise State.raised


ERRORS = [Textless(), Stop("gone"), TextStops(), SystemExit(3)]
RESULTS: list[Callable[[], Any]] = [
    lambda: Detached(1), lambda: Incomparable(url="http://a.b/")  # type: ignore[arg-type]
]  # fmt: skip


def returns(which: int) -> Any:
    return RESULTS[which]()


async def returns_on_loop(which: int) -> Any:
    return RESULTS[which]()


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def raised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BaseException:
    monkeypatch.setattr(State, "raised", request.param, raising=False)
    error: BaseException = request.param
    return error


@pytest.mark.parametrize("which", [0, 1], ids=["field", "eq"])
@pytest.mark.parametrize("callee", [returns, returns_on_loop])
def test_g9_a_result_that_raises_whatever_it_likes_fails_its_call(
    callee: Any, which: int, raised: BaseException, kind: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        limited = ctx.with_options(limit="one")  # each gives its place back
        [one] = await ctx.gather(limited.durable_execute_async(callee, which))
        [two] = await ctx.gather(limited.durable_execute_async(callee, which))
        await ctx.durable_execute_async(hold)
        out(ctx, [str(one.error), str(two.error), type(one.error).__name__])

    def go_plain(event: Any, ctx: Any) -> None:
        limited = ctx.with_options(limit="one")
        [one] = ctx.gather(limited.durable_execute_async(callee, which))
        [two] = ctx.gather(limited.durable_execute_async(callee, which))
        ctx.durable_execute_async(hold).result()
        out(ctx, [str(one.error), str(two.error), type(one.error).__name__])

    agent = pick(kind, go, go_plain)
    config = config_of(kind, **{"limits.one.concurrency": 1})
    [[one, two, name]] = crash_and_resume(agent, ONE, config=config)
    if isinstance(raised, Exception) and which == 1:  # then it only has no form of its own
        assert "AnyUrl cannot be journaled" in one
    else:
        assert f"cannot be journaled: it raises {type(raised).__name__}: " in one
    assert (one, name) == (two, "EncodeError")


def test_g9_an_inline_result_that_raises_whatever_it_likes_fails_its_call(
    raised: BaseException, kind: str
) -> None:
    def go(event: Any, ctx: Any) -> None:
        try:
            ctx.durable_execute(returns, 0)
        except Exception as error:
            out(ctx, str(error))

    async def go_async(event: Any, ctx: Any) -> None:
        go(event, ctx)

    [text] = run(pick(kind, go_async, go), ONE, config=config_of(kind))
    assert f"cannot be journaled: it raises {type(raised).__name__}: " in text


def test_g9_an_interrupt_while_a_result_is_journaled_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(returns, 0)

    def go_plain(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(returns, 0).result()

    monkeypatch.setattr(State, "raised", KeyboardInterrupt(), raising=False)
    with pytest.raises(KeyboardInterrupt):
        run(pick(kind, go, go_plain), ONE, config=config_of(kind))


class Asked(type):
    """A class that raises when it is asked about an error."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise Stop("asked")


class Retried(Exception, metaclass=Asked):
    """A class of errors that are retried."""


def fails() -> None:
    raise ValueError("first")


def test_g9_a_retry_policy_whose_class_stops_when_asked_fails_the_call(kind: str) -> None:
    policy = RetryPolicy(max_attempts=3, initial_interval=0.0, retry_on=(Retried,))

    async def go(event: Any, ctx: Any) -> None:
        call = ctx.with_options(retry=policy).durable_execute_async(fails)
        [outcome] = await ctx.gather(call)
        out(ctx, [str(outcome.error), *outcome.error.__notes__])

    def go_plain(event: Any, ctx: Any) -> None:
        call = ctx.with_options(retry=policy).durable_execute_async(fails)
        [outcome] = ctx.gather(call)
        out(ctx, [str(outcome.error), *outcome.error.__notes__])

    [[text, note]] = run(pick(kind, go, go_plain), ONE, config=config_of(kind))
    assert text == "first"
    assert note.endswith("Stop: asked")


@dataclasses.dataclass(frozen=True)
class Once:
    """May be in a set until it is read back."""

    n: int

    def __hash__(self) -> int:
        State.calls.append("hash")
        if len(State.calls) > 1:
            raise State.raised
        return self.n


def unreadable() -> set[Once]:
    return {Once(1)}


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no hash"), "DecodeError: .*ValueError: no hash"), (Stop("no"), "Stop: no")],
    ids=["exception", "base"],
)
def test_g9_an_outcome_that_cannot_be_read_is_what_its_run_fails_with(
    error: BaseException, said: str, inline: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        if inline:
            ctx.durable_execute(unreadable)
        await ctx.durable_execute_async(unreadable)

    def go_plain(event: Any, ctx: Any) -> None:
        if inline:
            ctx.durable_execute(unreadable)
        ctx.durable_execute_async(unreadable).result()

    monkeypatch.setattr(State, "raised", error, raising=False)
    text = error_text(failures(pick(kind, go, go_plain), ONE, config=config_of(kind)))
    assert re.search(said, text), text
