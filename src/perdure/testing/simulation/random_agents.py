"""Random agents: programs that are played, and a digest of all that they see.

Every call gets that digest, so a replay that takes another branch, or sees anything in another
order, makes a call that the journal does not know.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from typing import Any

from perdure.agent.declaration import Agent
from perdure.agent.plan import AgentPlan
from perdure.call import DurableCall, RetryPolicy, wait
from perdure.config.configuration import Configuration
from perdure.context import RunnerContext
from perdure.errors import PerdureError
from perdure.event import Event, InputEvent, OutputEvent
from perdure.testing.execution import takes, this_attempt
from perdure.testing.simulation.calls import UNIT
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.lives import Script, Signal
from perdure.testing.simulation.programs import SECONDS, ActionProgram, Program, Step
from perdure.testing.simulation.rule_steps import RuleSteps
from perdure.testing.simulation.simulate import arrivals_of

HANGS = -1
NEVER = 99


class UnluckyError(PerdureError):
    """What a callable raises that is to fail."""


EXPECTED = f"{UnluckyError.__module__}.{UnluckyError.__qualname__}"


def digest(*parts: object) -> str:
    """Return what stands for all that was seen."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def _named(error: BaseException) -> str:
    # A timeout says how long its last attempt took, which began again after a crash.
    return repr(error) if isinstance(error, UnluckyError) else type(error).__name__


def _outcome(tag: str, seen: str, units: int, fails: int, heals: int) -> str:
    """Return what a call returns, or raise: by its arguments and its attempt alone."""
    takes(math.inf if units == HANGS else units * SECONDS)
    attempt = this_attempt()
    if attempt is not None and attempt.retries < heals and attempt.number <= fails:
        raise UnluckyError(f"{tag}, attempt {attempt.number}")
    return digest(tag, seen)


async def ask(tag: str, seen: str, units: int, fails: int = 0, heals: int = NEVER) -> str:
    """A coroutine callable."""
    return _outcome(tag, seen, units, fails, heals)


def compute(tag: str, seen: str, units: int, fails: int = 0, heals: int = NEVER) -> str:
    """A plain callable."""
    return _outcome(tag, seen, units, fails, heals)


async def reconcile(tag: str, seen: str, units: int, fails: int = 0, heals: int = NEVER) -> str:
    """Finds out what came of a call in doubt."""
    return _outcome(tag, seen, units, fails, heals)


class Player(RuleSteps):
    """Plays the program of one action: what both kinds of actions share.

    Owns: the digest of what the action has seen, the number of calls it has made.
    """

    def __init__(self, action: ActionProgram, event: Event, ctx: RunnerContext) -> None:
        given = event.get_attr("input") if action.trigger == "" else event.get_attr("seen")
        super().__init__(action.name, ctx)
        self.action = action
        self.seen = digest(action.name, given, event.id)
        self._calls = 0
        self.steps = action.steps
        if isinstance(given, list):  # a run that an action has started: it starts no others
            self.steps = (Step("call", {"plain": False, "fails": 0}), Step("update", {}))

    def see(self, *values: object) -> None:
        """Add to what was seen."""
        self.seen = digest(self.seen, values)

    def call(
        self, *, plain: bool, fails: int = 0, heals: int = NEVER, units: int = 0,
        ctx: RunnerContext | None = None,
    ) -> DurableCall[str]:  # fmt: skip
        """Make a call."""
        self._calls += 1
        tag = f"{self.action.name}{self._calls}"
        # By its arguments, so that runs of the same program are not all alike.
        units = units or 1 + int(digest(tag, self.seen)[:2], 16) % 4
        func = compute if plain else ask
        return (ctx or self.ctx).durable_execute_async(func, tag, self.seen, units, fails, heals)

    def several(self, n: int, plain: bool, fails: int = -1) -> list[DurableCall[str]]:
        """Make some calls that overlap; number `fails` of them fails."""
        return [
            self.call(plain=plain is (i % 2 == 0), fails=NEVER if i == fails else 0)
            for i in range(n)
        ]

    def retrying(self, attempts: int, total: float | None = None) -> RunnerContext:
        """Return a context whose calls are attempted several times."""
        policy = RetryPolicy(max_attempts=attempts, initial_interval=SECONDS, total_timeout=total)
        return self.ctx.with_options(retry=policy)

    def child(self) -> tuple[list[str], str]:
        """Return input and key of a run to start."""
        return ["child", self.seen], f"child of {self.ctx.key}"

    def finish(self) -> None:
        """Send what the action sends at its end."""
        for n in range(self.action.sends_count if self.steps is self.action.steps else 0):
            self.ctx.send_event(
                Event(type=self.action.sends, attributes={"seen": self.seen + str(n)})
            )
        noted = [self.noted] if self.noted else []
        self.ctx.send_event(OutputEvent(output=[self.action.name, self.seen, *noted]))

    # Steps that take no time

    def inline(self, fails: int) -> None:
        """A synchronous call."""
        try:
            self.see(self.ctx.durable_execute(compute, "inline", self.seen, 1, fails))
        except UnluckyError as error:
            self.see(repr(error))

    def update(self) -> None:
        """Count, in a place that all actions share."""
        self.ctx.short_term_memory.update("count", lambda count: (count or 0) + 1)
        self.ctx.sensory_memory.update("list", lambda old: [*(old or ()), self.seen])

    def remember(self) -> None:
        """Write to a place of the action's own."""
        self.ctx.short_term_memory.set(f"own.{self.action.name}", self.seen)
        self.ctx.sensory_memory.set(f"own.{self.action.name}", self.seen)

    def recall(self) -> None:
        """Read what the action itself, or a run before, wrote there."""
        self.see(self.ctx.short_term_memory.get(f"own.{self.action.name}"))
        self.see(self.ctx.sensory_memory.get(f"own.{self.action.name}"))

    def forget(self) -> None:
        """Delete it."""
        if self.ctx.short_term_memory.is_exist(f"own.{self.action.name}"):
            self.ctx.short_term_memory.delete(f"own.{self.action.name}")

    def dice(self) -> None:
        """Use chance."""
        self.see(str(self.ctx.uuid4()), self.ctx.random.random())

    def clock(self) -> None:
        """Read the clock."""
        self.see(self.ctx.now().isoformat())


IMMEDIATE = frozenset(
    (
        "inline", "update", "remember", "recall", "forget", "dice", "clock", "make_event",
        "send_made", "write_over",
    )
)  # fmt: skip


class CoroutinePlayer(Player):
    """Plays in a coroutine action."""

    async def play(self) -> None:
        """Take all steps."""
        for step in self.steps:
            if step.op in IMMEDIATE:
                getattr(self, step.op)(**step.args)
            else:
                await getattr(self, f"do_{step.op}")(**step.args)
        self.finish()

    async def settle(self, call: Awaitable[object]) -> None:
        """See what comes of a call."""
        try:
            self.see(await call)
        except (UnluckyError, TimeoutError, asyncio.CancelledError) as error:
            self.see(_named(error))

    async def do_call(self, plain: bool, fails: int) -> None:
        await self.settle(self.call(plain=plain, fails=fails))

    async def do_fail(self, plain: bool, heals: int) -> None:
        self.see(await self.call(plain=plain, fails=NEVER, heals=heals))

    async def do_retry(self, plain: bool, fails: int, attempts: int) -> None:
        await self.settle(self.call(plain=plain, fails=fails, ctx=self.retrying(attempts)))

    async def do_total(self, plain: bool, units: int) -> None:
        ctx = self.retrying(9, (units + 0.5) * SECONDS)
        await self.settle(self.call(plain=plain, fails=NEVER, ctx=ctx))

    async def do_reconcile(self, plain: bool, fails: int) -> None:
        ctx = self.ctx.with_options(reconciler=reconcile)
        await self.settle(self.call(plain=plain, fails=fails, ctx=ctx))

    async def do_hang(self, plain: bool, attempts: int) -> None:
        policy = RetryPolicy(max_attempts=attempts, initial_interval=SECONDS)
        ctx = self.ctx.with_options(timeout=2 * SECONDS, retry=policy)
        try:
            await self.call(plain=plain, units=HANGS, ctx=ctx)
        except TimeoutError:
            self.see("timed out")

    async def do_limited(self, plain: bool) -> None:
        ctx = self.ctx.with_options(limit="narrow")
        await self.settle(self.call(plain=plain, ctx=ctx))

    async def do_signal(self) -> None:
        self.see(await self.ctx.wait_for_signal("signal"))

    async def do_maybe(self, units: int) -> None:
        await self.settle(self.ctx.wait_for_signal("maybe", timeout=units * SECONDS))

    async def do_child(self, waits: bool, delay: int) -> None:
        given, key = self.child()
        child = await self.ctx.submit(given, key=key, delay=delay * SECONDS)
        self.see(child.id)
        if waits:
            self.see([(output.id, output.value) for output in await child.outputs()])

    async def do_gather(self, n: int, plain: bool, fails: int) -> None:
        calls = self.several(n, plain, fails)
        if n == 2:
            self.see(repr(await asyncio.gather(*calls, return_exceptions=True)))
        else:
            for outcome in await self.ctx.gather(*calls):
                self.see(outcome.value, repr(outcome.error))

    async def do_race(self, n: int, plain: bool, then: str) -> None:
        calls = self.several(n, plain)
        done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        self.see([call.number for call in done], [call.number for call in pending])
        for call in done:
            await self.settle(call)
        for call in pending:
            if then == "cancel":
                call.cancel()
            elif then == "wait":
                await self.settle(call)

    async def do_pool_race(self, n: int, plain: bool, then: str) -> None:
        """A race of tasks that make two calls each."""

        async def branch(first: DurableCall[str]) -> str:
            return await first

        tasks = [asyncio.create_task(branch(call)) for call in self.several(n, plain)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            self.see(await task)
        for task in pending:
            if then == "cancel":
                task.cancel()
            elif then == "wait":
                await self.settle(task)

    async def do_as_completed(self, n: int, plain: bool, fails: int) -> None:
        for call in asyncio.as_completed(self.several(n, plain, fails)):
            await self.settle(call)

    async def do_group(self, n: int, plain: bool, fails: int) -> None:
        async def branch(i: int) -> None:
            self.see(i, await self.call(plain=plain))
            self.see(i, await self.call(plain=not plain, fails=NEVER if i == fails else 0))

        try:
            async with asyncio.TaskGroup() as group:
                for i in range(n):
                    group.create_task(branch(i))
        except* UnluckyError as failed:
            self.see([repr(error) for error in failed.exceptions])

    async def do_queue(self, n: int, plain: bool, fails: int) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def produce(call: DurableCall[str]) -> None:
            try:
                queue.put_nowait(await call)
            except UnluckyError as error:
                queue.put_nowait(repr(error))

        tasks = [asyncio.create_task(produce(call)) for call in self.several(n, plain, fails)]
        for _ in tasks:
            self.see(await queue.get())

    async def do_deadline(self, units: int, plain: bool) -> None:
        try:
            async with asyncio.timeout(units * SECONDS):
                self.see(await self.call(plain=plain))
                await asyncio.sleep(SECONDS)
                self.see("in time")
        except TimeoutError:
            self.see("too late")

    async def do_sleep(self, units: int, **how: bool) -> None:
        if how["asyncio"]:
            await asyncio.sleep(units * SECONDS)
        else:
            await self.ctx.sleep(units * SECONDS)


class PlainPlayer(Player):
    """Plays in a plain action."""

    def play(self) -> None:
        """Take all steps."""
        for step in self.steps:
            name = step.op if step.op in IMMEDIATE else f"do_{step.op}"
            getattr(self, name)(**step.args)
        self.finish()

    def settle(self, call: DurableCall[str], timeout: float | None = None) -> None:
        """See what comes of a call."""
        try:
            self.see(call.result(timeout))
        except (UnluckyError, TimeoutError, asyncio.CancelledError) as error:
            self.see(_named(error))

    def do_call(self, plain: bool, fails: int) -> None:
        self.settle(self.call(plain=plain, fails=fails))

    def do_fail(self, plain: bool, heals: int) -> None:
        self.see(self.call(plain=plain, fails=NEVER, heals=heals).result())

    def do_retry(self, plain: bool, fails: int, attempts: int) -> None:
        self.settle(self.call(plain=plain, fails=fails, ctx=self.retrying(attempts)))

    def do_total(self, plain: bool, units: int) -> None:
        self.settle(
            self.call(plain=plain, fails=NEVER, ctx=self.retrying(9, (units + 0.5) * SECONDS))
        )

    def do_reconcile(self, plain: bool, fails: int) -> None:
        ctx = self.ctx.with_options(reconciler=reconcile)
        self.settle(self.call(plain=plain, fails=fails, ctx=ctx))

    def do_hang(self, plain: bool, attempts: int) -> None:
        policy = RetryPolicy(max_attempts=attempts, initial_interval=SECONDS)
        ctx = self.ctx.with_options(timeout=2 * SECONDS, retry=policy)
        try:
            self.call(plain=plain, units=HANGS, ctx=ctx).result()
        except TimeoutError:
            self.see("timed out")

    def do_limited(self, plain: bool) -> None:
        self.settle(self.call(plain=plain, ctx=self.ctx.with_options(limit="narrow")))

    def do_signal(self) -> None:
        self.see(self.ctx.wait_for_signal("signal").result())

    def do_maybe(self, units: int) -> None:
        self.settle(self.ctx.wait_for_signal("maybe", timeout=units * SECONDS))

    def do_child(self, waits: bool, delay: int) -> None:
        given, key = self.child()
        child = self.ctx.submit(given, key=key, delay=delay * SECONDS).result()
        self.see(child.id)
        if waits:
            self.see([(output.id, output.value) for output in child.outputs().result()])

    def do_gather(self, n: int, plain: bool, fails: int) -> None:
        outcomes: Any = self.ctx.gather(*self.several(n, plain, fails))
        for outcome in outcomes:
            self.see(outcome.value, repr(outcome.error))

    def do_race(self, n: int, plain: bool, then: str) -> None:
        done, pending = wait(self.several(n, plain), return_when=asyncio.FIRST_COMPLETED)
        self.see([call.number for call in done], [call.number for call in pending])
        for call in done:
            self.settle(call)
        for call in pending:
            if then == "cancel":
                call.cancel()
            elif then == "wait":
                self.settle(call)

    def do_deadline(self, units: int, plain: bool) -> None:
        call = self.call(plain=plain)
        self.settle(call, units * SECONDS)
        self.settle(call)

    def do_sleep(self, units: int, **_how: bool) -> None:
        self.ctx.sleep(units * SECONDS).result()


def make_agent(program: Program) -> Agent:
    """Return the agent that plays `program`."""
    agent = Agent()
    for action in program.actions:
        trigger: Any = action.trigger or InputEvent
        agent.add_action(action.name, [trigger], _function(action))
    return agent


def _function(action: ActionProgram) -> Callable[[Any, Any], Any]:
    async def coroutine(event: Event, ctx: RunnerContext) -> None:
        await CoroutinePlayer(action, event, ctx).play()

    def plain(event: Event, ctx: RunnerContext) -> None:
        PlainPlayer(action, event, ctx).play()

    return coroutine if action.is_coroutine else plain


def script_of(program: Program) -> Script:
    """Return what is simulated for `program`."""
    plan = AgentPlan.from_agent(make_agent(program))
    signals = sorted(program.signals, key=lambda signal: signal[1])
    return Script(
        plan=lambda: plan,
        config=Configuration(program.config),
        inputs=program.inputs,
        arrivals=arrivals_of(program.seed, len(program.inputs)),
        fakes=Fakes(),
        seed=program.seed,
        # Off the grid of calls, each in its own place: what comes first is never a matter of luck.
        signals=[
            Signal(position, units * UNIT + 100_003 + 1_000 * n, name, f"signal {n}")
            for n, (position, units, name) in enumerate(signals)
        ],
        cancels=[(position, units * UNIT + 50_003) for position, units in program.cancels],
    )
