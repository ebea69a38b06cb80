"""G11: a call that may have executed before a crash is asked for, or executed again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.promises.support import (
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    hold,
    out,
    pick,
    run,
)

ONE = [{"k": "a"}]


async def transfer(amount: int) -> str:
    State.calls.append(f"transfer {amount}")
    await hold()
    return "executed"


async def ask_bank(amount: int) -> str:
    State.calls.append(f"ask {amount}")
    return "reconciled"


def ask_bank_plain(amount: int) -> str:
    State.calls.append(f"ask {amount}")
    return "reconciled"


@pytest.mark.parametrize("reconciler", [ask_bank, ask_bank_plain])
def test_g11_a_call_in_doubt_is_asked_for_and_not_executed_again(
    reconciler: Any, kind: str, store: str
) -> None:
    async def pays(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(transfer, 5, reconciler=reconciler))

    def pays_plain(event: Any, ctx: Any) -> None:
        careful = ctx.with_options(reconciler=reconciler)
        out(ctx, careful.durable_execute_async(transfer, 5).result())

    agent = pick(kind, pays, pays_plain)
    results = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    assert results == ["reconciled"]
    assert State.calls == ["transfer 5", "ask 5"]


def test_g11_without_reconciler_it_is_executed_again(kind: str, store: str) -> None:
    async def pays(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(transfer, 5))

    def pays_plain(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute_async(transfer, 5).result())

    agent = pick(kind, pays, pays_plain)
    results = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    assert results == ["executed"]
    assert State.calls == ["transfer 5"] * 2


def test_g11_a_pending_record_without_reconciler_executes(store: str) -> None:
    async def pays(event: Any, ctx: Any) -> None:
        reconciler = ask_bank if State.leg == 1 else None
        out(ctx, await ctx.durable_execute_async(transfer, 5, reconciler=reconciler))

    assert crash_and_resume(agent_of(pays), ONE, store=store) == ["executed"]
    assert State.calls == ["transfer 5"] * 2


def test_g11_a_reconciler_is_not_asked_where_nothing_is_in_doubt(kind: str, store: str) -> None:
    async def pays(event: Any, ctx: Any) -> None:
        first = await ctx.durable_execute_async(echo, 5, reconciler=ask_bank)
        out(ctx, [first, ctx.durable_execute(lambda amount: amount + 1, 5, reconciler=ask_bank)])

    def pays_plain(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(echo, 5, reconciler=ask_bank).result()
        out(ctx, [first, ctx.durable_execute(lambda amount: amount + 1, 5, reconciler=ask_bank)])

    agent = pick(kind, pays, pays_plain)
    assert run(agent, ONE, store=store, config=config_of(kind)) == [[5, 6]]
    assert State.calls == [5]
