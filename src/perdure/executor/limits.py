"""Named limits of a job: how many attempts run at the same time, and how fast they begin.

Waiting costs no thread and no polling: the end of an attempt, or one timer, starts the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from perdure.call import Limit
from perdure.errors import ConfigurationError, did_you_mean
from perdure.executor.fair_queue import FairQueue
from perdure.printable import printable_logger

logger = printable_logger("perdure")

Arm = Callable[[int, Callable[[], None]], Any]


class LimitUsage(NamedTuple):
    """How many attempts run under a limit and wait for it."""

    running: int
    waiting: int


class Permit:
    """One attempt's place under a limit: it waits, then runs until it is released.

    Owns: the attempt's `start` until that is called. Lifecycle: from `Limits.acquire` to `release`.
    """

    __slots__ = ("_begun", "_gate", "_key", "_released", "_start")

    def __init__(self, gate: _Gate, key: Hashable, start: Callable[[], None]) -> None:
        self._gate = gate
        self._key = key
        self._start: Callable[[], None] | None = start  # None from when it is called
        self._begun = self._released = False

    @property
    def waiting(self) -> bool:
        """True while `start` has still to be called."""
        return self._start is not None

    def began(self) -> None:
        """The attempt has begun to execute: its time in a rate's window runs from here."""
        if not (self._begun or self._released or self.waiting):
            self._begun = True
            self._gate.began()

    def release(self) -> None:
        """The attempt has ended, or shall not begin: the next one may; again it does nothing.

        One that has not begun by then leaves nothing in a rate's window.
        """
        if not self._released:
            self._released = True
            self._gate.leave(self)


class PermitChain:
    """One attempt's places under several limits; each is waited for when it has the one before.

    Those with a rate come last: what is allowed to begin should do so soon.

    Owns: the permits taken so far. Lifecycle: from `Limits.acquire_all` to `release`.
    """

    __slots__ = ("_key", "_limits", "_permits", "_released", "_rest", "_start")

    def __init__(
        self, limits: Limits, names: tuple[str, ...], key: Hashable, start: Callable[[], None]
    ) -> None:
        self._limits = limits
        # One named again would wait for itself.
        self._rest = sorted(dict.fromkeys(names), key=limits.has_rate)
        self._key = key
        self._start = start
        self._permits: list[Permit] = []
        self._released = False
        self._go_on()

    @property
    def waiting(self) -> bool:
        """True while it waits for one of them."""
        return self._permits[-1].waiting

    def began(self) -> None:
        """The attempt has begun to execute."""
        for permit in self._permits:
            permit.began()

    def _go_on(self) -> None:
        if not self._rest:
            try:
                self._start()
            except BaseException:
                self.release()
                raise
            return
        permit = self._limits.acquire(self._rest.pop(0), self._key, self._go_on)
        self._permits.append(permit)
        if self._released:
            permit.release()

    def release(self) -> None:
        """The attempt has ended, or shall not begin; again it does nothing."""
        self._released = True
        for permit in self._permits:
            permit.release()


class Limits:
    """The limits of a job, by name; each is fair between the keys that wait for it.

    Owns: a gate for each limit. Lifecycle: that of the job, on the host loop's thread. It starts
    attempts inside `acquire` and `Permit.release` and when a timer of `arm` calls back.

    Args:
        limits: the configured limits by name.
        now: time in ns since the epoch.
        arm: calls its second argument back on the host loop, never inside `arm`, at a time in ns
            since the epoch.
    """

    def __init__(self, limits: Mapping[str, Limit], now: Callable[[], int], arm: Arm) -> None:
        self._gates = {name: _Gate(name, limit, now, arm) for name, limit in limits.items()}

    @property
    def usage(self) -> dict[str, LimitUsage]:
        """What runs and waits at this moment, by the limit's name."""
        return {
            name: LimitUsage(gate.running, len(gate.waiting)) for name, gate in self._gates.items()
        }

    def hold(self) -> None:
        """Start nothing until `let_go`; what waits keeps its place."""
        for gate in self._gates.values():
            gate.held = True

    def let_go(self) -> None:
        """Start what may start, as ever."""
        for gate in self._gates.values():
            gate.let_go()

    def has_rate(self, names: str | tuple[str, ...]) -> bool:
        """Say whether an attempt under these limits has to say when it has begun."""
        some = (names,) if isinstance(names, str) else names
        return any(self._gates[name].has_rate for name in some)

    def check(self, name: str) -> None:
        """Make sure that there is a limit of this name.

        Raises:
            ConfigurationError: there is none.
        """
        if name in self._gates:
            return
        hint = did_you_mean(name, self._gates, "", repr, cutoff=0.5)
        do = f"{hint} If not, set" if hint else "set"
        raise ConfigurationError(
            f"limit {name!r} is not configured: {do} the option limits.{name}.concurrency"
        )

    def acquire_all(
        self, names: tuple[str, ...], key: Hashable, start: Callable[[], None]
    ) -> PermitChain:
        """Call `start` as soon as every one of several limits allows one more, taken in order.

        As `acquire`, those with a rate after the others; whoever takes several must take them in
        one order everywhere. One that is named again counts once.
        """
        for name in names:
            self.check(name)
        return PermitChain(self, names, key, start)

    def acquire(self, name: str, key: Hashable, start: Callable[[], None]) -> Permit:
        """Call `start` as soon as the limit allows one more attempt and the key's turn has come.

        That is inside this call where there is room and nobody waits; where this call is made
        inside a `start` of the same limit, it is after that one has returned.

        Args:
            name: name of a configured limit.
            key: whom the attempt is for; keys take turns.
            start: begins the attempt, or has it wait for what else it needs. If it raises, the
                attempt is over: this call raises what it raised, and where this call has returned
                it is logged.

        Returns:
            What to release when the attempt has ended or need not begin any more. Under a rate it
            counts all the time until it is told that the attempt has begun, and for the length of
            the window from then on: no more begin in one, however late they do.

        Raises:
            ConfigurationError: there is no limit of this name.
        """
        self.check(name)
        permit = Permit(self._gates[name], key, start)
        self._gates[name].enter(permit)
        return permit


class _Gate:
    """One limit.

    Owns: the queue of permits that wait, the beginnings in the window, at most one armed timer.
    Lifecycle: that of `Limits`. A timer that nobody needs any more calls back once, in vain.
    """

    def __init__(self, name: str, limit: Limit, now: Callable[[], int], arm: Arm) -> None:
        self.running = 0
        self.waiting: FairQueue[Hashable, Permit] = FairQueue()
        self._name = name
        self._concurrency = limit.concurrency
        self._per = max(1, round(limit.per * 1e9))
        self._rate = limit.rate
        self._begun: deque[int] = deque()  # when, of those within the window; the oldest first
        self._beginning = 0  # of what runs, what has not begun yet
        self._now = now
        self._arm = arm
        self._armed = False
        self._draining = False
        self.held = False  # nothing starts, whatever its room

    @property
    def has_rate(self) -> bool:
        """True where beginnings are counted."""
        return self._rate is not None

    def let_go(self) -> None:
        """Start what may start."""
        self.held = False
        self._drain()

    def enter(self, permit: Permit) -> None:
        """Let the permit wait, and start whatever may start."""
        self.waiting.push(permit._key, permit)
        self._drain(permit)

    def began(self) -> None:
        """One of what runs has begun."""
        self._beginning -= 1
        if self._rate is not None:
            now = self._now()
            self._forget(now)
            self._begun.append(now)
            if self.waiting:
                self._drain()  # or nobody would wake it when this one has left the window

    def leave(self, permit: Permit) -> None:
        """Take the permit out of the queue, or start the next in its place."""
        if permit._start is not None:
            permit._start = None
            self.waiting.remove(permit._key, permit)
            return
        self.running -= 1
        if not permit._begun:
            self._beginning -= 1
        self._drain()

    def _drain(self, entering: Permit | None = None) -> None:
        # What starts may end at once, or acquire again: this loop goes on then, and not a deeper
        # one, or the stack would grow with the queue.
        if self._draining:
            return
        self._draining = True
        failed: Exception | None = None
        try:
            while self.waiting and self._may_start():
                permit = self.waiting.pop()
                try:
                    self._start(permit)
                except Exception as error:
                    if permit is entering:
                        failed = error
                    else:
                        logger.exception("limit %r: an attempt could not be started", self._name)
        except BaseException:
            if self.waiting:
                self._wake_at(self._now())  # whoever interrupted this, the others go on
            raise
        finally:
            self._draining = False
        if failed is not None:
            raise failed

    def _start(self, permit: Permit) -> None:
        start, permit._start = permit._start, None
        assert start is not None
        self.running += 1
        self._beginning += 1
        try:
            start()
        except BaseException:
            permit.release()
            raise

    def _may_start(self) -> bool:
        if self.held:
            return False
        if self._concurrency is not None and self.running >= self._concurrency:
            return False
        if self._has_place():
            return True
        self._forget(self._now())
        if self._has_place():
            return True
        if self._begun:
            self._wake_at(self._begun[0] + self._per)
        return False

    def _has_place(self) -> bool:
        return self._rate is None or len(self._begun) + self._beginning < self._rate

    def _forget(self, now: int) -> None:
        """Drop the beginnings that have left the window."""
        while self._begun and self._begun[0] + self._per <= now:
            self._begun.popleft()

    def _wake_at(self, at: int) -> None:
        if not self._armed:
            self._arm(at, self._awake)
            self._armed = True

    def _awake(self) -> None:
        self._armed = False
        self._drain()
