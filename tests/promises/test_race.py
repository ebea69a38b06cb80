"""G6: a race of a hundred calls has the same winner after a crash."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.promises.support import COROUTINE, State, crash_and_resume, out, pick

from perdure import wait

RUNNERS, RACES = 100, 100


class Races:
    """How many runs have arrived at the crash, what each chose in each leg, how fast who ran."""

    arrived = 0
    chosen: dict[tuple[int, int], str] = {}
    delays: dict[int, list[float]] = {}


async def runs(race: int, n: int, delay: float) -> str:
    await asyncio.sleep(delay)
    return f"runner {n}"


async def prize(race: int, winner: str) -> str:
    State.calls.append(f"prize {race}")
    return f"prize of {winner}"


async def all_arrived(race: int) -> None:
    """Hang in the first leg, until all races are here; then that is where it is crashed."""
    Races.arrived += 1
    if State.leg == 1:
        if Races.arrived == RACES:
            State.gate.reached.set()
        await asyncio.Event().wait()


def enter(event: Any, ctx: Any) -> dict[Any, str]:
    chance, race = random.Random(), event.input["k"]
    order = list(range(RUNNERS))
    ctx.random.shuffle(order)
    if State.leg == 1:
        Races.delays[race] = [chance.uniform(0.0, 0.01) for _ in order]
    delays = Races.delays[race]
    return {ctx.durable_execute_async(runs, race, n, delays[n]): f"runner {n}" for n in order}


async def races(event: Any, ctx: Any) -> None:
    calls, race = enter(event, ctx), event.input["k"]
    done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    (winner,) = (calls[call] for call in done)
    Races.chosen[State.leg, race] = winner
    for one in pending:
        one.cancel()
    won = await ctx.durable_execute_async(prize, race, winner)
    await ctx.durable_execute_async(all_arrived, race)
    out(ctx, [race, won])


def races_plain(event: Any, ctx: Any) -> None:
    calls, race = enter(event, ctx), event.input["k"]
    done, pending = wait(calls, return_when=asyncio.FIRST_COMPLETED)
    (winner,) = (calls[call] for call in done)
    Races.chosen[State.leg, race] = winner
    for one in pending:
        one.cancel()
    won = ctx.durable_execute_async(prize, race, winner).result()
    ctx.durable_execute_async(all_arrived, race).result()
    out(ctx, [race, won])


@pytest.mark.parametrize("race_kind", [COROUTINE, "plain"])
def test_g6_a_race_of_a_hundred_has_the_same_winner_in_each_of_a_hundred_runs(
    race_kind: str, store: str
) -> None:
    Races.arrived, Races.chosen, Races.delays = 0, {}, {}
    inputs = [{"k": n} for n in range(RACES)]
    results = crash_and_resume(pick(race_kind, races, races_plain), inputs, store=store)
    first = [Races.chosen[1, n] for n in range(RACES)]
    assert [Races.chosen[2, n] for n in range(RACES)] == first
    assert sorted(results) == [[n, f"prize of {winner}"] for n, winner in enumerate(first)]
    assert sorted(State.calls) == sorted(f"prize {n}" for n in range(RACES))
    assert len(set(first)) > 10  # it was a race
