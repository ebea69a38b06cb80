"""G9, G5: an exception is an outcome, the same live and on replay; so is one that has no form."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    Gate,
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
)

from perdure import DurableCallError, LocalEngine, RunsFailedError
from perdure.errors import EncodeError

ONE = [{"k": "a"}]
observed: list[Any] = []  # what an action saw, in each of its executions


class Rejected(Exception):
    """A failure of the user's own, with arguments."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code


class Awkward(Exception):
    """One that its args do not rebuild."""

    def __init__(self, *, needed: int) -> None:
        super().__init__(f"needed {needed}")
        self.needed = needed


def raise_own() -> None:
    State.calls.append("own")
    error = Rejected(42, "no stock")
    error.add_note("asked twice")
    raise error from KeyError("inner")


def raise_awkward() -> None:
    raise Awkward(needed=3)


def raise_local() -> None:
    class Local(Exception):
        pass

    raise Local("where from")


def raise_group() -> None:
    raise ExceptionGroup("several", [ValueError(1), Rejected(2)])


async def raise_cancelled() -> None:
    raise asyncio.CancelledError


def raise_stop() -> None:
    raise StopIteration("over")


def raise_exit() -> None:
    raise GeneratorExit


async def raise_timeout() -> None:
    raise TimeoutError("too slow")


def raise_unencodable() -> None:
    raise Rejected(object())  # type: ignore[arg-type]


CALLABLES = [
    raise_own, raise_awkward, raise_local, raise_group, raise_cancelled, raise_stop, raise_exit,
    raise_timeout, raise_unencodable,
]  # fmt: skip


def describe(error: BaseException) -> dict[str, Any]:
    """Return all of an exception that an action can go by."""
    cause = error.__cause__
    return {
        "type": type(error).__name__,
        "text": str(error),
        "args": repr(error.args),
        "notes": getattr(error, "__notes__", []),
        "cause": None if cause is None else describe(cause),
        "named": getattr(error, "type_name", ""),
        "traceback": "raise_" in getattr(error, "traceback_text", "raise_"),
    }


async def gather_failures(event: Any, ctx: Any) -> None:
    seen = []
    for func in CALLABLES:
        try:
            await ctx.durable_execute_async(func)
        except Exception as error:
            seen.append(describe(error))
    try:
        ctx.durable_execute(raise_own)
    except Rejected as error:
        seen.append(describe(error))
    observed.append(seen)
    await ctx.durable_execute_async(hold)
    out(ctx, seen)


def gather_failures_plain(event: Any, ctx: Any) -> None:
    seen = []
    for func in CALLABLES:
        try:
            ctx.durable_execute_async(func).result()
        except Exception as error:
            seen.append(describe(error))
    try:
        ctx.durable_execute(raise_own)
    except Rejected as error:
        seen.append(describe(error))
    observed.append(seen)
    ctx.durable_execute_async(hold).result()
    out(ctx, seen)


def test_g9_exceptions_are_the_same_live_and_on_replay(kind: str, store: str) -> None:
    agent = pick(kind, gather_failures, gather_failures_plain)
    observed.clear()
    crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    live, replayed = observed
    assert replayed == live
    assert State.calls == ["own", "own"]
    by_name = dict(zip([func.__name__ for func in CALLABLES], live, strict=False))
    assert len(by_name) == len(CALLABLES), [one["text"] for one in live]
    own = by_name["raise_own"]
    assert own["type"] == "Rejected"
    assert own["args"] == "(42, 'no stock')"
    assert own["notes"] == ["asked twice"]
    assert own["cause"]["type"] == "KeyError"
    assert by_name["raise_timeout"]["type"] == "TimeoutError"
    for name in ("raise_local", "raise_stop", "raise_exit", "raise_cancelled"):
        assert by_name[name]["type"] == "DurableCallError", name
    assert "CancelledError" in by_name["raise_cancelled"]["named"]
    assert "Local" in by_name["raise_local"]["named"]
    assert by_name["raise_awkward"]["text"].endswith("needed 3")


class Opaque:
    """A value that the journal has no form for."""


def returns_opaque() -> Any:
    State.calls.append("opaque")
    return {"deep": [Opaque()]}


async def unencodable_result(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async(returns_opaque)
    try:
        await call
    except EncodeError as error:
        seen = str(error)
    await ctx.durable_execute_async(hold)
    out(ctx, seen)


def unencodable_result_plain(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async(returns_opaque)
    try:
        call.result()
    except EncodeError as error:
        seen = str(error)
    ctx.durable_execute_async(hold).result()
    out(ctx, seen)


def test_g5_a_result_without_journal_form_fails_at_its_call_live_and_on_replay(
    kind: str, store: str
) -> None:
    agent = pick(kind, unencodable_result, unencodable_result_plain)
    State.gate.open = True
    (live,) = run(agent, ONE, config=config_of(kind))
    State.gate, State.calls = Gate(), []
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [live]
    assert State.calls == ["opaque"]
    assert "returns_opaque" in live
    assert "Opaque" in live


def test_g5_an_argument_without_digest_is_refused_where_it_is_handed_over(kind: str) -> None:
    async def action_(event: Any, ctx: Any) -> None:
        with pytest.raises(EncodeError, match="Opaque"):
            ctx.durable_execute_async(str, Opaque())
        with pytest.raises(EncodeError, match=r"Opaque"):
            ctx.durable_execute(str, [Opaque()])
        out(ctx, await ctx.durable_execute_async(str, 1))

    def plain(event: Any, ctx: Any) -> None:
        with pytest.raises(EncodeError, match="Opaque"):
            ctx.durable_execute_async(str, Opaque())
        with pytest.raises(EncodeError, match=r"Opaque"):
            ctx.durable_execute(str, [Opaque()])
        out(ctx, ctx.durable_execute_async(str, 1).result())

    assert run(pick(kind, action_, plain), ONE, config=config_of(kind)) == ["1"]


def test_g5_what_is_sent_or_remembered_must_have_a_journal_form(kind: str) -> None:
    def both(event: Any, ctx: Any) -> None:
        with pytest.raises(EncodeError, match="Opaque"):
            out(ctx, Opaque())
        with pytest.raises(EncodeError, match=r"^short_term_memory, path 'x', .*Opaque"):
            ctx.short_term_memory.set("x", Opaque())
        with pytest.raises(EncodeError, match=r"^sensory_memory, path 'y', .*Opaque"):
            ctx.sensory_memory.update("y", lambda value: Opaque())
        out(ctx, [ctx.short_term_memory.is_exist("x")])

    async def coroutine(event: Any, ctx: Any) -> None:
        both(event, ctx)

    assert run(pick(kind, coroutine, both), ONE, config=config_of(kind)) == [[False]]


def test_g9_an_actions_own_failure_fails_its_run_and_names_it(kind: str, store: str) -> None:
    async def fails(event: Any, ctx: Any) -> None:
        if event.input["k"] == "bad":
            raise Rejected(7, "own fault")
        out(ctx, "fine")

    def fails_plain(event: Any, ctx: Any) -> None:
        if event.input["k"] == "bad":
            raise Rejected(7, "own fault")
        out(ctx, "fine")

    inputs = [{"k": "good"}, {"k": "bad"}, {"k": "good"}]
    failed = failures(pick(kind, fails, fails_plain), inputs, store=store, config=config_of(kind))
    assert [o.value for o in failed.outputs] == ["fine", "fine"]
    assert [info.key for info in failed.failed] == ["bad"]
    assert "Rejected" in error_text(failed)
    assert "own fault" in error_text(failed)
    error = failed.failed[0].error
    assert error is not None
    assert "raise Rejected(7" in error["traceback"]


@pytest.mark.parametrize("kind", [COROUTINE, "plain", "off"])
def test_g9_an_unread_failure_is_no_failure_of_the_action(kind: str) -> None:
    async def ignores(event: Any, ctx: Any) -> None:
        call = ctx.durable_execute_async(raise_own)
        await asyncio.wait([call])
        out(ctx, "ignored")

    def ignores_plain(event: Any, ctx: Any) -> None:
        outcomes = ctx.gather(ctx.durable_execute_async(raise_own))
        out(ctx, "ignored" if not outcomes[0].ok else "?")

    assert run(pick(kind, ignores, ignores_plain), ONE, config=config_of(kind)) == ["ignored"]


def test_g9_durable_call_error_keeps_the_traceback_as_text() -> None:
    async def fails(event: Any, ctx: Any) -> None:
        try:
            await ctx.durable_execute_async(raise_local)
        except DurableCallError as error:
            out(ctx, [error.type_name, error.message, error.traceback_text])

    ((name, message, text),) = run(agent_of(fails), ONE)
    assert name.endswith("Local")
    assert message == "where from"
    assert "in raise_local" in text


def test_g9_what_the_engine_raises_says_why_the_first_run_failed() -> None:
    async def refused(event: Any, ctx: Any) -> None:
        raise Rejected(42, "no stock")

    for inputs, match in (
        (ONE, "1 run failed \\(r1 of key 'a': Rejected: .*no stock.*\\): see .failed"),
        ([{"k": "a"}, {"k": "b"}], "2 runs failed \\(the first r1 of key 'a': Rejected: "),
    ):
        with pytest.raises(RunsFailedError, match=match):
            LocalEngine("memory://").run(agent_of(refused), inputs, key="k")
