"""G7: an action that takes another way than its journal fails, or executes anew where asked to."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    OFF,
    Gate,
    State,
    abandon,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    hold,
    out,
    pick,
    values,
)

from perdure import Agent, Event, InputEvent, LocalEngine, RunsFailedError

ONE = [{"k": "a"}]


async def other(value: Any) -> Any:
    State.calls.append(f"other {value}")
    return value


async def changes_argument(event: Any, ctx: Any) -> None:
    first = await ctx.durable_execute_async(echo, "same")
    second = await ctx.durable_execute_async(echo, f"leg {State.leg}")
    await ctx.durable_execute_async(hold)
    out(ctx, [first, second])


def changes_argument_plain(event: Any, ctx: Any) -> None:
    first = ctx.durable_execute_async(echo, "same").result()
    second = ctx.durable_execute_async(echo, f"leg {State.leg}").result()
    ctx.durable_execute_async(hold).result()
    out(ctx, [first, second])


async def changes_function(event: Any, ctx: Any) -> None:
    first = await ctx.durable_execute_async(echo, "same")
    second = await ctx.durable_execute_async(echo if State.leg == 1 else other, "x")
    await ctx.durable_execute_async(hold)
    out(ctx, [first, second])


def changes_function_plain(event: Any, ctx: Any) -> None:
    first = ctx.durable_execute_async(echo, "same").result()
    second = ctx.durable_execute_async(echo if State.leg == 1 else other, "x").result()
    ctx.durable_execute_async(hold).result()
    out(ctx, [first, second])


async def calls_less(event: Any, ctx: Any) -> None:
    await ctx.durable_execute_async(echo, "same")
    if State.leg == 1:
        await ctx.durable_execute_async(echo, "gone")
        await ctx.durable_execute_async(hold)
    out(ctx, "ended early")


def calls_less_plain(event: Any, ctx: Any) -> None:
    ctx.durable_execute_async(echo, "same").result()
    if State.leg == 1:
        ctx.durable_execute_async(echo, "gone").result()
        ctx.durable_execute_async(hold).result()
    out(ctx, "ended early")


async def waits_elsewhere(event: Any, ctx: Any) -> None:
    await ctx.durable_execute_async(echo, "same")
    if State.leg == 2:
        await ctx.sleep(3600)  # before the call whose outcome the journal has next
    await ctx.durable_execute_async(echo, "late")
    await ctx.durable_execute_async(hold)


def failing(agent: Any, store: str, config: dict[str, Any]) -> str:
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(agent, ONE, store=store, config=config)
    error = caught.value.failed[0].error
    assert error is not None
    assert "NonDeterminismError" in error["type"]
    return str(error["message"])


def test_g7_another_argument_fails_and_names_both(kind: str, store: str) -> None:
    agent = pick(kind, changes_argument, changes_argument_plain)
    message = failing(agent, store, config_of(kind))
    for part in ("action go", "call 2", "echo", "'leg 1'", "'leg 2'"):
        assert part in message
    assert State.calls == ["same", "leg 1"]


def test_g7_another_function_fails_and_names_both(kind: str, store: str) -> None:
    agent = pick(kind, changes_function, changes_function_plain)
    message = failing(agent, store, config_of(kind))
    for part in ("action go", "call 2", "support:echo", "test_divergence:other"):
        assert part in message
    assert State.calls == ["same", "x"]


def test_g7_the_error_cannot_be_swallowed_by_the_action(kind: str) -> None:
    async def swallows(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, "same")
        try:
            await ctx.durable_execute_async(echo, State.leg)
        except Exception:
            out(ctx, "swallowed")
        await ctx.durable_execute_async(hold)

    def swallows_plain(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, "same").result()
        try:
            ctx.durable_execute_async(echo, State.leg).result()
        except Exception:
            out(ctx, "swallowed")
        ctx.durable_execute_async(hold).result()

    failing(pick(kind, swallows, swallows_plain), "memory://", config_of(kind))


def test_g7_a_settlement_of_a_call_never_made_fails(store: str) -> None:
    agent = pick(COROUTINE, waits_elsewhere, waits_elsewhere)
    message = failing(agent, store, {})
    assert "call 2" in message
    assert "echo" in message


def test_g7_ending_before_the_journal_does_fails(kind: str, store: str) -> None:
    # Both legs made call 1; only the journal knows calls 2 and its outcome.
    agent = pick(kind, calls_less, calls_less_plain)
    assert "call 2" in failing(agent, store, config_of(kind))


def test_g7_reexecute_makes_the_call_and_all_after_it(
    kind: str, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = pick(kind, changes_argument, changes_argument_plain)
    config = config_of(kind, on_divergence="reexecute")
    with caplog.at_level(logging.WARNING):
        results = crash_and_resume(agent, ONE, store=store, config=config)
    assert results == [["same", "leg 2"]]
    assert State.calls == ["same", "leg 1", "leg 2"]
    assert any("call 2" in record.getMessage() for record in caplog.records)


def test_g7_reexecute_with_another_function(kind: str, store: str) -> None:
    agent = pick(kind, changes_function, changes_function_plain)
    config = config_of(kind, on_divergence="reexecute")
    assert crash_and_resume(agent, ONE, store=store, config=config) == [["same", "x"]]
    assert State.calls == ["same", "x", "other x"]


@pytest.mark.parametrize("kind", [COROUTINE, "plain", OFF])
def test_g7_a_second_crash_after_reexecute_replays_the_new_way(kind: str, sqlite: str) -> None:
    async def thrice(event: Any, ctx: Any) -> None:
        a = await ctx.durable_execute_async(echo, "same")
        b = await ctx.durable_execute_async(echo, f"leg {min(State.leg, 2)}")
        c = await ctx.durable_execute_async(echo, "after")
        await ctx.durable_execute_async(hold)
        out(ctx, [a, b, c])

    def thrice_plain(event: Any, ctx: Any) -> None:
        a = ctx.durable_execute_async(echo, "same").result()
        b = ctx.durable_execute_async(echo, f"leg {min(State.leg, 2)}").result()
        c = ctx.durable_execute_async(echo, "after").result()
        ctx.durable_execute_async(hold).result()
        out(ctx, [a, b, c])

    agent = pick(kind, thrice, thrice_plain)
    config = config_of(kind, on_divergence="reexecute")
    abandon(agent, ONE, store=sqlite, config=config)
    State.gate, State.leg = Gate(), 2
    abandon(agent, ONE, store=sqlite, config=config)
    assert State.calls == ["same", "leg 1", "after", "leg 2", "after"]
    State.gate.open, State.leg = True, 3
    # What the second leg made replays even where a divergence would be an error.
    engine = LocalEngine(sqlite, config=config_of(kind))
    assert values(engine.run(agent, ONE, key="k")) == [["same", "leg 2", "after"]]
    assert State.calls == ["same", "leg 1", "after", "leg 2", "after"]


async def raises_early(event: Any, ctx: Any) -> None:
    if State.leg == 2:
        raise KeyError("gone")
    await ctx.durable_execute_async(echo, "same")
    await ctx.durable_execute_async(hold)


def raises_early_plain(event: Any, ctx: Any) -> None:
    if State.leg == 2:
        raise KeyError("gone")
    ctx.durable_execute_async(echo, "same").result()
    ctx.durable_execute_async(hold).result()


def test_g7_a_divergence_tells_what_the_action_raised_on_its_new_way(
    kind: str, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = pick(kind, raises_early, raises_early_plain)
    message = failing(agent, store, config_of(kind))
    assert "made only 0 call(s), then raised KeyError: 'gone': it took another way" in message
    assert any("then raised KeyError: 'gone'" in r.getMessage() for r in caplog.records)


class Grown(Event):
    n: int


async def begins(event: Any, ctx: Any) -> None:
    ctx.send_event(Event(type=Grown.EVENT_TYPE, attributes={"n": 1}))


async def goes_on(event: Any, ctx: Any) -> None:
    await ctx.durable_execute_async(echo, "same")
    await ctx.durable_execute_async(hold)
    out(ctx, event.n)


def goes_on_plain(event: Any, ctx: Any) -> None:
    ctx.durable_execute_async(echo, "same").result()
    ctx.durable_execute_async(hold).result()
    out(ctx, event.n)


@pytest.mark.parametrize("policy", ["fail", "reexecute"])
def test_g9_an_event_that_code_can_no_longer_take_is_told_as_that(
    kind: str, store: str, policy: str
) -> None:
    go = goes_on if kind == COROUTINE else goes_on_plain

    def agent(event_class: Any) -> Agent:
        return (
            Agent().add_action("begins", [InputEvent], begins).add_action("go", [event_class], go)
        )

    class Larger(Event):
        EVENT_TYPE = Grown.EVENT_TYPE
        n: int
        vat: int

    config = config_of(kind, on_divergence=policy)
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(agent(Grown), ONE, store=store, config=config, resume_with=agent(Larger))
    assert "it lacks 'vat'" in error_text(caught.value)
