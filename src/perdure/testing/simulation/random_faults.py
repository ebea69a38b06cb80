"""The agents of `fault_programs`: actions that take one step after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from perdure.agent.declaration import Agent
from perdure.call import DurableCall, RetryPolicy
from perdure.context import RunnerContext
from perdure.errors import RetryableError
from perdure.event import Event, InputEvent, OutputEvent
from perdure.testing.simulation.fault_programs import FaultProgram
from perdure.testing.simulation.programs import SECONDS, ActionProgram, Step
from perdure.testing.simulation.random_agents import (
    NEVER,
    UnluckyError,
    ask,
    compute,
    digest,
    reconcile,
)

SEEN = (UnluckyError, RetryableError, TimeoutError)
COUNT = "count"


def first_seen(action: ActionProgram, given: object) -> str:
    """Return what an action has seen before its first step: what triggered it."""
    return digest(action.name, given)


def next_seen(seen: str, outcome: object) -> str:
    """Return what an action has seen when it has seen one outcome more."""
    return digest(seen, outcome)


def told(kind: str, message: str) -> str:
    """Return how an action sees an exception: by the name of its type and what it says."""
    # A timeout says how long its last attempt took, which began again after a crash.
    return kind if kind == "TimeoutError" else f"{kind}: {message}"


def tag_of(action: ActionProgram, n: int) -> str:
    """Return what the call of an action's step number `n` is told apart by."""
    return f"{action.name}{n}"


class _Player:
    """Plays one action: what both kinds share.

    Owns: the digest of what the action has seen.
    """

    def __init__(self, action: ActionProgram, event: Event, ctx: RunnerContext) -> None:
        given = event.get_attr("input") if action.trigger == "" else event.get_attr("seen")
        self.action = action
        self.ctx = ctx
        self.seen = first_seen(action, given)

    def see(self, outcome: object) -> None:
        """Take an outcome."""
        self.seen = next_seen(self.seen, outcome)

    def failed(self, error: BaseException) -> None:
        """Take an exception."""
        self.see(told(type(error).__name__, str(error)))

    def begin(self, step: Step, n: int) -> DurableCall[Any]:
        """Begin what a step waits for."""
        op, args, ctx = step.op, step.args, self.ctx
        if op == "sleep":
            return ctx.sleep(args["units"] * SECONDS)
        if op == "answer":
            return ctx.wait_for_signal(args["name"], timeout=args["units"] * SECONDS)
        if op in ("retry", "counted"):
            policy = RetryPolicy(
                max_attempts=args["attempts"], initial_interval=SECONDS,
                count_crashes=op == "counted",
            )  # fmt: skip
            ctx = ctx.with_options(retry=policy)
        elif op == "asked":
            ctx = ctx.with_options(reconciler=reconcile)
        elif op in ("rated", "limited"):
            ctx = ctx.with_options(limit="rated" if op == "rated" else "narrow")
        fails = NEVER if op == "fail" else args.get("fails", 0)
        tag = tag_of(self.action, n)
        units = 1 + int(digest(tag, self.seen)[:2], 16) % 4
        func = compute if args["plain"] else ask
        return ctx.durable_execute_async(func, tag, self.seen, units, fails)

    def update(self) -> None:
        """Count, in a place that all runs of a key share."""
        self.ctx.short_term_memory.update(COUNT, lambda count: (count or 0) + 1)

    def finish(self) -> None:
        """Send what the action sends at its end."""
        if self.action.sends:
            self.ctx.send_event(Event(type=self.action.sends, attributes={"seen": self.seen}))
        self.ctx.send_event(OutputEvent(output=[self.action.name, self.seen]))


async def _play(player: _Player) -> None:
    for n, step in enumerate(player.action.steps):
        if step.op == "update":
            player.update()
        elif step.op == "fail":
            await player.begin(step, n)
        else:
            try:
                player.see(await _taken(player, step, n))
            except SEEN as error:
                player.failed(error)
    player.finish()


async def _taken(player: _Player, step: Step, n: int) -> Any:
    """Return what comes of a step; some are taken with asyncio's own tools."""
    args = step.args
    if step.op == "sleep" and args["asyncio"]:
        return await asyncio.sleep(args["units"] * SECONDS)
    if step.op == "answer" and args["asyncio"]:
        async with asyncio.timeout(args["units"] * SECONDS):
            return await player.ctx.wait_for_signal(args["name"])
    return await player.begin(step, n)


def _play_plain(player: _Player) -> None:
    for n, step in enumerate(player.action.steps):
        if step.op == "update":
            player.update()
        elif step.op == "fail":
            player.begin(step, n).result()
        else:
            try:
                player.see(player.begin(step, n).result())
            except SEEN as error:
                player.failed(error)
    player.finish()


def make_fault_agent(program: FaultProgram) -> Agent:
    """Return the agent that plays `program`."""
    agent = Agent()
    for action in program.actions:
        trigger: Any = action.trigger or InputEvent
        agent.add_action(action.name, [trigger], _function(action))
    return agent


def _function(action: ActionProgram) -> Callable[[Any, Any], Any]:
    async def coroutine(event: Event, ctx: RunnerContext) -> None:
        await _play(_Player(action, event, ctx))

    def plain(event: Event, ctx: RunnerContext) -> None:
        _play_plain(_Player(action, event, ctx))

    return coroutine if action.is_coroutine else plain
