"""The simulated world outside: when each attempt of a call is over, the same before and after.

An attempt is known by its run, event, action, call number and how many attempts before it are
recorded. When it is over is settled once, when it first begins; begun again after a crash, it is
over at that very moment, or at once where that has passed. So races come out as they did.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from perdure.executor.pool import Invocation
from perdure.journal.record import Record, RecordKind
from perdure.runtime.action.attempts import LoneAttempt
from perdure.store.base import InputRow, Row
from perdure.testing.execution import Attempt, CallKey, Execution, current
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.loop import Moment, SimulatedLoop

UNIT = 16_000_000  # ns: calls end on a grid of this width
ANSWERS = 107_009  # ns: answers of people come off the grid, each at an instant of its own
LANES = 64  # every action of a run has a grid of its own, shifted by a part of it
POSITIONS = 1 << 20  # within the instant at which an attempt is over
OUTCOMES = (RecordKind.RESULT, RecordKind.ERROR)


class Progress:
    """What the journal says of calls, kept up to date batch by batch. Pure."""

    def __init__(self, batches: Sequence[Sequence[Row]] = ()) -> None:
        self.settled: set[CallKey] = set()
        self.pending: set[CallKey] = set()
        self.failed: dict[CallKey, int] = {}
        self.due: dict[CallKey, int] = {}
        self.retries: dict[int, int] = {}
        self.signalled: set[tuple[int, str]] = set()  # run, name
        self.cancelled: set[int] = set()  # positions of inputs whose runs were asked to stop
        self._positions: dict[int, int] = {}  # run -> position of its input
        self._signals: dict[tuple[int, str], set[int]] = {}
        for batch in batches:
            self.add(batch)

    def add(self, batch: Sequence[Row]) -> None:
        """Take in a batch that is durable."""
        for row in batch:
            if type(row) is not Record:
                if type(row) is InputRow and type(row.id) is int:
                    self._positions[row.run] = row.id
                continue
            key = (row.run, row.event, row.action, row.call)
            if row.kind in OUTCOMES:
                self.settled.add(key)
                self.pending.discard(key)
            elif row.kind == RecordKind.PENDING:
                self.pending.add(key)
            elif row.kind == RecordKind.ATTEMPT and not row.is_beginning:
                self.failed[key] = self.failed.get(key, 0) + 1
                self.due[key] = row.due_at
            elif row.kind == RecordKind.RETRY:
                self._put_back(row.run)
            elif row.kind == RecordKind.CANCEL:
                self.cancelled.add(self._positions.get(row.run, -1))
            elif row.kind == RecordKind.SIGNAL:
                self.signalled.add((row.run, row.signal_name))
                place = (self._positions.get(row.run, -1), row.signal_name)
                self._signals.setdefault(place, set()).add(row.signal_id)

    def signals(self, position: int, name: str) -> int:
        """Return how many signals of this name have come for the run of an input."""
        # One that is given back has the time, and so the identity, that it came with.
        return len(self._signals.get((position, name), ()))

    def _put_back(self, run: int) -> None:
        self.retries[run] = self.retries.get(run, 0) + 1
        self.settled = {key for key in self.settled if key[0] != run}
        self.failed = {key: n for key, n in self.failed.items() if key[0] != run}
        self.due = {key: at for key, at in self.due.items() if key[0] != run}


class Outside:
    """The world outside, common to all lives of one seed.

    Owns: the moments at which attempts are over and people answer, the actions' places in the grid.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._over: dict[tuple[CallKey, int, int], Moment] = {}
        self._lanes: dict[int, dict[tuple[int, str], int]] = {}
        self._answers: dict[tuple[int, str], Moment] = {}

    def knows(self, attempt: Attempt) -> bool:
        """Say whether it is settled when `attempt` is over."""
        return attempt[:3] in self._over

    def over(self, attempt: Attempt, now: int, seconds: float | None) -> Moment | None:
        """Return when `attempt` is over; None when it hangs.

        Args:
            attempt: which.
            now: ns since the epoch.
            seconds: how long it takes, None for a seeded time.
        """
        if seconds == math.inf:
            return None
        key = attempt[:3]
        known = self._over.get(key)
        if known is None:
            text = f"{self._seed} {key}".encode("utf-8", "surrogatepass")
            drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
            # Few positions, so that outcomes of one moment are usual, and share commits.
            order, drawn = drawn % POSITIONS, drawn // POSITIONS
            position = order % 4 * (POSITIONS // 4)
            wait = 1 + drawn % (3 * UNIT) if seconds is None else int(seconds * 1e9)
            known = self._over[key] = Moment(
                self._on_grid(attempt.call, now + wait), position, order
            )
        return known

    def answered(self, run: int, question: str, now: int) -> Moment:
        """Return when a person answers a question of a run, which was seen at `now` at first."""
        known = self._answers.get((run, question))
        if known is None:
            drawn = hashlib.blake2b(f"{self._seed} {run} {question}".encode(), digest_size=2)
            units = 1 + int.from_bytes(drawn.digest(), "big") % 6
            at = now // UNIT * UNIT + units * UNIT + ANSWERS + 17 * len(self._answers)
            known = self._answers[run, question] = Moment(at)
        return known

    def _on_grid(self, call: CallKey, at: int) -> int:
        run, event, action, _ = call
        lanes = self._lanes.setdefault(run, {})
        lane = lanes.setdefault((event, action), len(lanes) % LANES)
        # Runs differ a little too, so that no two of them ever race for the next run number.
        shift = lane * (UNIT // LANES) + run % 16 * (UNIT // LANES // 16)
        return (at - shift + UNIT - 1) // UNIT * UNIT + shift


class Start(NamedTuple):
    """That an attempt began to execute.

    Attributes:
        commits: how many had been made before, in all lives.
        attempt: which it is.
        at: ns since the epoch.
        limits: names of the limits that it begins under.
        writes: the store does: it has failed at no commit since the last one that it made.
        reconciles: it is its reconciler that is asked.
    """

    commits: int
    attempt: Attempt
    at: int
    limits: tuple[str, ...]
    writes: bool
    reconciles: bool


class Life:
    """One life of the job, from a start to its end or to where the next crash is taken from.

    Owns: what was executed in it. Lifecycle: for one run of the loop.

    Args:
        loop: its event loop.
        outside: the world outside.
        before: what the journal says at the start.
        fakes: what stands in for callables.
    """

    def __init__(
        self,
        loop: SimulatedLoop,
        outside: Outside,
        before: Sequence[Sequence[Row]],
        fakes: Fakes,
    ) -> None:
        self.loop = loop
        self.progress = Progress(before)
        self.commits = len(before)
        self.executed: list[tuple[int, Attempt]] = []
        self.starts: list[Start] = []
        self.problems: list[str] = []
        self.writes = True  # the newest commit was made
        self.failures = 0  # commits of this life whose writers were told that they failed
        self._in_doubt = set(self.progress.pending)
        self._began: dict[tuple[CallKey, int, int], int] = {}  # -> failures until then
        self._outside = outside
        self._fakes = fakes
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()  # that execute
        loop.hurries = self._hurries
        loop.set_task_factory(self._make_task)

    def committed(self, batch: Sequence[Row]) -> None:
        """Take note of a batch that is durable."""
        self.commits += 1
        self.writes = True
        self.progress.add(batch)
        if self._in_doubt:
            self._in_doubt -= self.progress.settled

    def failed(self, batch: Sequence[Row]) -> None:
        """Take note of a batch whose writer is told that it is not durable."""
        self.failures += 1
        self.writes = False
        # Its runs are read back, and with them what has begun and has no outcome.
        runs = {row.run for row in batch if type(row) is Record}
        self._in_doubt |= {call for call in self.progress.pending if call[0] in runs}

    def begin(self, described: Described) -> Execution:
        """An attempt begins to execute."""
        template, reconciles, reconciled, limits = described
        call = (template.run, template.event, template.action, template.call)
        progress = self.progress
        attempt = Attempt(
            call, progress.retries.get(call[0], 0), progress.failed.get(call, 0) + 1,
            template.function, template.detail,
        )  # fmt: skip
        if call in progress.settled:
            self.problems.append(f"{attempt} was executed though its outcome was recorded")
        if progress.due.get(call, 0) > self.loop.instant:
            self.problems.append(f"{attempt} was executed before it was due")
        if not reconciles:
            if reconciled and call in self._in_doubt:
                self.problems.append(
                    f"{attempt} was executed though its reconciler was to be asked"
                )
            if self._began.get(attempt[:3]) == self.failures:
                self.problems.append(f"{attempt} was executed twice without a crash")
            self._began[attempt[:3]] = self.failures
            self.executed.append((self.commits, attempt))
        at = self.loop.instant
        self.starts.append(Start(self.commits, attempt, at, limits, self.writes, reconciles))
        return Execution(attempt, again=self._outside.knows(attempt))

    def over(self, execution: Execution) -> Moment | None:
        """Return when an execution is over, now that its function has returned."""
        return self._outside.over(execution.attempt, self.loop.instant, execution.seconds)

    def answered(self, run: int, question: str) -> Moment:
        """Return when a person answers a question of a run that is seen now."""
        return self._outside.answered(run, question, self.loop.instant)

    def _hurries(self) -> bool:
        # By its task: what a callable sets off in the runtime, such as a commit, inherits its
        # context too, and has time of its own.
        execution = current.get()
        if execution is None or not execution.again:
            return False
        return asyncio.current_task(self.loop) in self._tasks

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        if asyncio.current_task(loop) in self._tasks:
            self._tasks.add(task)  # a callable may have tasks of its own
        return task

    def wrapped(self, invocation: Invocation) -> Callable[..., Any]:
        """Return a coroutine function that executes `invocation` in simulated time."""
        described = describe(invocation)
        func = self.fake(invocation.func)

        async def simulated(*args: Any, **kwargs: Any) -> Any:
            execution = self.begin(described)
            error: Exception | None = None
            value = None
            current.set(execution)  # in the context of this call's own task
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                value = func(*args, **kwargs)
                if hasattr(value, "__await__"):
                    value = await value
            except Exception as raised:
                error = raised
            finally:
                current.set(None)  # what follows from its end inherits the context
                self._tasks.discard(task)
            await self._until(self.over(execution))
            if error is not None:
                raise error
            return value

        return simulated

    async def _until(self, moment: Moment | None) -> None:
        reached: asyncio.Future[None] = self.loop.create_future()
        handle = None
        if moment is not None:
            handle = self.loop.call_at_moment(moment, reached.set_result, None)
        try:
            await reached
        finally:
            if handle is not None:
                handle.cancel()

    def fake(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for `func`."""
        return self._fakes.of(func)


class Described(NamedTuple):
    """What an invocation is for."""

    template: Record  # of the call, without an outcome
    reconciles: bool  # its reconciler is asked
    reconciled: bool  # it has one
    limits: tuple[str, ...]  # that it begins under


def describe(invocation: Invocation) -> Described:
    """Return what an invocation is for."""
    if isinstance(invocation, LoneAttempt):
        return Described(invocation.template, reconciles=False, reconciled=False, limits=())
    attempts: Any = getattr(invocation.finish, "__self__", None)
    reconciler = attempts._options.reconciler
    has_one = reconciler is not None
    reconciles = has_one and invocation.func == reconciler
    limit = attempts._options.limit
    limits = (limit,) if isinstance(limit, str) else tuple(limit or ())
    return Described(attempts.template, reconciles, has_one, limits)
