"""One life of a job in the simulated world, and what it left in its store."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from perdure.agent.plan import AgentPlan
from perdure.config.configuration import Configuration
from perdure.journal.record import RULES
from perdure.run import Output
from perdure.runtime.job_runtime import Admitted, JobRuntime, NewInput, RunTicket
from perdure.runtime.shared.world import World
from perdure.store.base import Row
from perdure.testing.execution import Attempt
from perdure.testing.simulation.calls import Life, Outside
from perdure.testing.simulation.executor import SimulatedExecutor
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.loop import Moment, SimulatedLoop
from perdure.testing.simulation.store import SimulatedStore, Tables

JOB = "simulation"
EPOCH = Moment(1_767_225_600_000_000_000)  # the first moment of 2026
LATENCY = 1 << 21  # positions that a commit takes at most
SOURCE = "inputs"
CANCEL_AFTER = 50_003  # ns after its input came: what else that moment does, it does not race with


class Signal(NamedTuple):
    """A signal for a run.

    Attributes:
        position: of the run's input among the inputs.
        at: when it comes, ns after the start; later if the input comes later.
        name: its name.
        value: its value.
    """

    position: int
    at: int
    name: str
    value: Any


class Script(NamedTuple):
    """What is simulated under one seed.

    Attributes:
        plan: makes the agent's plan anew for each life, as a new process would.
        config: the job's configuration.
        inputs: keys and values, in order.
        arrivals: when each of them comes, ns after the start; ascending.
        fakes: what stands in for callables.
        seed: of all that is drawn.
        signals: what comes for the inputs' runs, in the order of their times.
        cancels: which runs are asked to stop: position of the input, ns after the start.
        approve: what a person says to a tool call that waits for approval: name and arguments of
            the tool.
        rules: those that new actions are run by.
    """

    plan: Callable[[], AgentPlan]
    config: Configuration
    inputs: Sequence[tuple[Any, Any]]
    arrivals: Sequence[int]
    fakes: Fakes
    seed: int
    signals: Sequence[Signal] = ()
    cancels: Sequence[tuple[int, int]] = ()
    approve: Callable[[str, Any], Any] = lambda tool, arguments: True
    rules: int | None = RULES


class Ended(NamedTuple):
    """What came of one life.

    Attributes:
        batches: what was committed, from the very first life on.
        moments: when each batch of this life was durable.
        tables: what the store holds at the end.
        executed: (commits before, attempt), in order.
        told: the outputs that listeners were told of: (run, number, id).
        problems: promises broken within this life.
        crashes: the commits after which lives before it ended, counted from the very first life on.
    """

    batches: Sequence[Sequence[Row]]
    moments: Sequence[Moment]
    tables: Tables
    executed: Sequence[tuple[int, Attempt]]
    told: Sequence[tuple[int, int, str]]
    problems: Sequence[str]
    crashes: Sequence[int] = ()

    def moment(self, after: int) -> Moment:
        """Return when commit number `after` of all was durable, of those of this life."""
        return self.moments[after - 1 - (len(self.batches) - len(self.moments))]


class _Listener:
    """Takes note of what the job tells."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, str]] = []
        self.idle: asyncio.Future[None] | None = None
        self.tickets: Mapping[int, RunTicket] = {}

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        """Take an output."""
        self.told.append((ticket.number, number, output.id))

    def on_resting(self, ticket: RunTicket) -> None:
        """Nothing to note: a run that rests still comes to an end."""

    def on_finished(self, ticket: RunTicket) -> None:
        """Take note that a run has ended."""
        if self.idle is not None and not self.idle.done() and not self.tickets:
            self.idle.set_result(None)


def live(script: Script, outside: Outside, before: Sequence[Sequence[Row]], start: Moment) -> Ended:
    """Run the job from what `before` left in its store to its end.

    Args:
        script: what is simulated.
        outside: the world outside, common to all lives of the seed.
        before: batches committed in earlier lives.
        start: when this life begins.
    """
    loop = SimulatedLoop(start)
    chance = random.Random(script.seed * 1_000_003 + len(before))
    life = Life(loop, outside, before, script.fakes)
    moments: list[Moment] = []

    def committed(batch: Sequence[Row]) -> None:
        moments.append(loop.moment)
        life.committed(batch)

    def later(callback: Callable[[], None]) -> None:
        loop.call_after(1 + chance.randrange(LATENCY), callback)

    store = SimulatedStore(before, later=later, committed=committed)
    listener = _Listener()
    try:
        loop.run_until_complete(_drive(script, life, store, listener))
    except Exception as error:
        life.problems.append(f"{type(error).__name__}: {error}")
        abandon(loop)
    finally:
        loop.close()
    return Ended(
        store.batches, moments, store.tables, life.executed, listener.told,
        [*life.problems, *loop.problems],
    )  # fmt: skip


def world_of(seed: int, life: Life, rules: int | None = RULES) -> World:
    """Return the world that one life of a job sees, with the rules that its actions begin under."""
    # The same for the whole seed: who draws first must not decide how long a back-off is.
    fraction = (seed * 0.618) % 1.0
    executor = functools.partial(SimulatedExecutor, life=life)
    return World(
        now=life.loop.now, chance=lambda: fraction, watches_inbox=False, make_executor=executor,
        rules=rules,
    )  # fmt: skip


async def _drive(script: Script, life: Life, store: SimulatedStore, listener: _Listener) -> None:
    """Open the job, submit every input when it comes, wait until all runs have ended."""
    loop, world = life.loop, world_of(script.seed, life, script.rules)
    runtime = JobRuntime(
        store, JOB, script.plan(), script.config, listeners=[listener], world=world
    )
    await runtime.open()
    listener.tickets = runtime.runs
    stopped = runtime.stopped
    loop.before_time_passes = _Person(script.approve, life, runtime).look
    try:
        await _until(_submit(script, runtime, loop, life), stopped)
        while runtime.runs:
            listener.idle = loop.create_future()
            await asyncio.wait([listener.idle, stopped], return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                stopped.result()
    finally:
        loop.before_time_passes = lambda: None
        await runtime.close()


class _Person:
    """Answers the tool calls that wait for approval, each once over all lives.

    Owns: what it was asked in this life. It looks at the status of the runs, as a person does.
    """

    def __init__(self, approve: Callable[[str, Any], Any], life: Life, runtime: JobRuntime) -> None:
        self._approve = approve
        self._life = life
        self._runtime = runtime
        self._seen: set[tuple[int, str]] = set()

    def look(self) -> None:
        """Look for what waits and was not seen before."""
        for run, ticket in self._runtime.runs.items():
            status = ticket.activity
            waiting = status.get("waiting_for_approval") if isinstance(status, dict) else None
            for asked in waiting or ():
                question = (run, asked["signal"])
                if question not in self._seen and question not in self._life.progress.signalled:
                    self._seen.add(question)
                    loop = self._life.loop
                    at = self._life.answered(*question)
                    loop.call_at_moment(at, self._begin, run, asked)

    def _begin(self, run: int, asked: Mapping[str, Any]) -> None:
        task = self._life.loop.create_task(self._answer(run, asked))
        task.add_done_callback(self._note_failure)

    async def _answer(self, run: int, asked: Mapping[str, Any]) -> None:
        value = self._approve(asked["tool"], asked["arguments"])
        await self._runtime.signal(run, asked["signal"], value)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._life.problems.append(f"approval failed: {type(error).__name__}: {error}")


async def _submit(script: Script, runtime: JobRuntime, loop: SimulatedLoop, life: Life) -> None:
    admitted: list[asyncio.Future[Admitted]] = []
    unsent = _unsent(script.signals, life)
    sending: list[asyncio.Task[None]] = []
    for position, (key, value) in enumerate(script.inputs):
        at = EPOCH.instant + script.arrivals[position]
        if at > loop.instant:
            await asyncio.sleep((at - loop.instant) / 1e9)
        item = NewInput(value, key, source=SOURCE, position=position)
        admitted.append(runtime.admit(item))
        for signal in unsent:
            if signal.position == position:
                earliest = EPOCH.instant + max(signal.at, script.arrivals[position])
                send = _send(signal, earliest, admitted[-1], runtime, loop)
                sending.append(loop.create_task(send))
        for place, when in script.cancels:
            if place == position and place not in life.progress.cancelled:
                earliest = EPOCH.instant + max(when, script.arrivals[position] + CANCEL_AFTER)
                cancel = _cancel(earliest, admitted[-1], runtime, loop)
                sending.append(loop.create_task(cancel))
    await asyncio.gather(*admitted, *sending)


def _unsent(signals: Sequence[Signal], life: Life) -> list[Signal]:
    """Return the signals that the journal does not have: their senders send them again."""
    counts: dict[tuple[int, str], int] = {}
    unsent = []
    for signal in signals:
        place = (signal.position, signal.name)
        counts[place] = counts.get(place, 0) + 1
        if counts[place] > life.progress.signals(signal.position, signal.name):
            unsent.append(signal)
    return unsent


async def _send(
    signal: Signal,
    at: int,
    admitted: asyncio.Future[Admitted],
    runtime: JobRuntime,
    loop: SimulatedLoop,
) -> None:
    if at > loop.instant:
        await asyncio.sleep((at - loop.instant) / 1e9)
    run = (await asyncio.shield(admitted)).run
    await runtime.signal(run, signal.name, signal.value)


async def _cancel(
    at: int, admitted: asyncio.Future[Admitted], runtime: JobRuntime, loop: SimulatedLoop
) -> None:
    if at > loop.instant:
        await asyncio.sleep((at - loop.instant) / 1e9)
    await runtime.cancel((await asyncio.shield(admitted)).run)


async def _until(work: Any, stopped: asyncio.Future[None]) -> None:
    """Wait for `work`, or raise what stopped the job."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        task.cancel()
        stopped.result()
    await task


def abandon(loop: SimulatedLoop) -> None:
    """End what is left on the loop of a life that failed."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        try:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        except Exception:
            pass  # it is stuck; what waits goes with the loop
    loop.problems = loop.problems[:3]
