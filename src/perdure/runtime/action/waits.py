"""ActionWaits: what an action waits for besides its calls: durable time and signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from perdure.call import DurableCall
from perdure.errors import NonDeterminismError, UnreadableAnswerError
from perdure.journal.record import Record, RecordKind
from perdure.printable import printable_logger
from perdure.runtime.action.open_waits import OpenWaits
from perdure.runtime.action.sides import ActionOfParts
from perdure.runtime.shared.signals import ActionSignals
from perdure.runtime.shared.timers import Timer

logger = printable_logger("perdure")

STEPS_AFTER_SIGNAL = 100
Reader = Callable[[Any], Any]
SIGNAL = "signal"  # the kind of a wait that takes any value


class ActionWaits:
    """The timers and signals of one action.

    Owns: the armed timer, the waits for signals, what came for them. Lifecycle: that of the
    action; `close` disarms. On the host loop's thread, but for what is made in a turn.

    Args:
        action: the action.
        recorded: the settlements that the journal has of it.
        resumed: the journal has something of it.
    """

    def __init__(self, action: ActionOfParts, recorded: Iterable[Record], *, resumed: bool) -> None:
        self._action = action
        self._services = action.run.services
        self._armed: Timer | None = None
        self._timers: dict[DurableCall[Any], asyncio.TimerHandle] = {}  # of pending calls
        self._signals = ActionSignals(r for r in recorded if r.kind == RecordKind.TAKEN)
        self.put_off = False  # a signal is there that came after a deadline, which is first
        self._steps = 0  # timers that come due at their own time each, not all at once
        self._looked_at = 0  # when the inbox was last read for it, ns since the epoch
        self._looking: list[Record] | None = None  # settlements that wait for that
        self._open = OpenWaits(action, resumed=resumed)
        self._readers: dict[DurableCall[Any], Reader] = {}  # of waits that do not take any value

    # In a turn

    def sleep(self, seconds: float) -> DurableCall[None]:
        """Make a call that a durable timer settles."""
        call: DurableCall[None] = self._call("sleep")

        def wake() -> None:
            del self._timers[call]
            call.set_result(None)

        loop = self._action.continuation.loop
        self._timers[call] = loop.set_timer(loop.time() + seconds, wake)
        return call

    def wait_for_signal(
        self,
        name: str,
        timeout: float | None,
        *,
        kind: str = SIGNAL,
        question: str | None = None,
        read: Reader | None = None,
    ) -> DurableCall[Any]:
        """Make a call that the next signal with this name settles, or a durable timer.

        Args:
            name: the signal's name.
            timeout: seconds, None for no limit.
            kind: what those who look from outside are told that it is.
            question: likewise.
            read: makes of a signal's value what the call settles with; where it raises
                UnreadableAnswerError the wait goes on. None for any value, as it is.
        """
        call = self._call(f"{kind} {name}")
        if read is not None:
            self._readers[call] = read
        while (answer := self._signals.wait(name, call)) is not None:
            if self._answer(call, answer):
                return call
        self._open.opened(call, name, kind, question)
        if timeout is not None:
            self._expire(call, name, timeout, kind)
        if self._action.is_live:
            self._ask(name)
        return call

    def _answer(self, call: DurableCall[Any], taken: Record) -> bool:
        """Settle a wait with a signal that was taken; False where it goes on (G27)."""
        value = self._services.codec.decode(taken.signal_value)
        if (read := self._readers.get(call)) is not None:
            try:
                value = read(value)
            except UnreadableAnswerError as error:
                if self._action.is_live:
                    logger.warning(
                        "%s still waits for the approval %r: %s",
                        self._action.where(), taken.signal_name, error,
                        extra=self._action.continuation.loop.log_fields,
                    )  # fmt: skip
                return False
            del self._readers[call]
        call.set_result(value)
        return True

    def _call(self, what: str) -> DurableCall[Any]:
        loop = self._action.continuation.loop
        return DurableCall(
            loop,
            loop.next_identity(),
            number=0,
            function=what,
            parker=self._action.continuation.parker,
            on_cancel=self._forget,
        )

    def _expire(self, call: DurableCall[Any], name: str, timeout: float, kind: str) -> None:
        def expired() -> None:
            del self._timers[call]
            self._readers.pop(call, None)
            call.set_exception(TimeoutError(f"no {kind} {name!r} came within {timeout:g} s"))
            call._log_traceback = False  # an unread failure is no news

        loop = self._action.continuation.loop
        self._timers[call] = loop.set_timer(loop.time() + timeout, expired)

    def _forget(self, call: DurableCall[Any]) -> None:
        self._readers.pop(call, None)
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()

    def apply(self, record: Record) -> None:
        """Deliver a TIMER or TAKEN settlement."""
        if record.kind == RecordKind.TIMER:
            self._armed = None  # what is due, the loop knows itself
            return
        call = self._signals.deliver(record)
        if call is None:
            return
        if self._answer(call, record):
            self._forget(call)
        else:
            self._signals.goes_on(record.signal_name, call)
            if self._action.is_live:
                self._ask(record.signal_name)
        if not self._signals.is_coming:
            self._open.go_on()

    # Between turns

    @property
    def for_signals(self) -> bool:
        """True while a signal is waited for."""
        return bool(self._signals.open_names())

    @property
    def is_open(self) -> bool:
        """True while time or a signal can continue the action."""
        return self.wake_up is not None or self.for_signals

    def is_due(self, until: int) -> bool:
        """Say whether a signal is on its way to the action, or a timer before `until` (ns)."""
        # Its thread may have made a wait whose timer is armed in a moment.
        deadline = self._armed.deadline if self._armed is not None else self._deadline
        return self._signals.is_coming or (deadline is not None and deadline < until)

    @property
    def wake_up(self) -> int | None:
        """When the armed timer comes due, ns since the epoch."""
        return self._armed.deadline if self._armed is not None else None

    def has_waited(self, name: str) -> bool:
        """Say whether the action ever waited for a signal with this name."""
        return self._signals.has_waited(name)

    def would_end(self, record: Record) -> bool:
        """Say whether a settlement ends one of the waits that are open now."""
        if record.kind == RecordKind.TAKEN:
            return record.signal_name in self._signals.open_names()
        deadline = self._action.continuation.loop.next_deadline()
        return record.kind == RecordKind.TIMER and deadline is not None and record.at >= deadline

    def go_live(self) -> None:
        """Replay is over: take what came in the meantime."""
        if cut := self._signals.cut():
            self._action.run.give_back(cut)
        self.ask_live()

    def ask_live(self) -> None:
        """Take what has come, and tell what is waited for, now that the action is live."""
        self.ask()
        self._open.tell()

    def ask(self) -> None:
        """Take what has come for the action: the run has got a signal."""
        self.put_off = False
        for name in self._signals.open_names():
            self._ask(name)

    def left_over(self) -> list[Record]:
        """Return the signals that the action was handed and has not used."""
        return self._signals.left_over()

    def end(self) -> None:
        """Take back what was told of waits: the action has ended, and with it each of them."""
        self._open.end()

    def arm(self) -> None:
        """Have the host call when the action's next timer is due, and tell what it waits for."""
        self._open.tell()
        deadline = self._action.continuation.loop.next_deadline()
        armed = self._armed
        if armed is not None and armed.deadline != deadline:
            self._services.timers.cancel(armed)
            self._armed = armed = None
        if armed is None and deadline is not None:
            self._armed = self._services.timers.arm(deadline, self._due)

    def close(self) -> None:
        """Disarm the timer; what is pending is let go."""
        self._timers.clear()
        self._readers.clear()
        self._looking = None
        self._signals.close()
        if self._armed is not None:
            self._services.timers.cancel(self._armed)
            self._armed = None

    def _due(self) -> None:
        action = self._action
        if self._armed is None or self._armed.deadline > self._services.now():
            return  # it was put off, and a signal that came first has ended that wait
        if self._signals.is_coming or action.run.is_late(self._deadline):
            self._armed = None  # that has its turn first; then the timer is armed anew
            return
        timer = Record.timer(action.run_number, action.event, action.name)
        if self.put_off or self._steps:
            # About signals time goes from one deadline to the next: what was in time stays so,
            # though the process was down meanwhile and later deadlines have passed too.
            if not self.looks_first(timer):
                self._steps = max(self._steps - 1, 0)
                action.settle(timer, self._deadline)
        else:
            action.settle(timer)

    @property
    def _deadline(self) -> int | None:
        return self._action.continuation.loop.next_deadline()

    # Deadlines against signals: what was durable first is first

    def looks_first(self, outcome: Record) -> bool:
        """Put a settlement off that passes a deadline while a signal is waited for.

        Returns:
            False where nothing is put off: the inbox was read after that deadline.
        """
        if self._looking is not None:
            self._looking.append(outcome)
            return True
        if not self.for_signals:
            return False
        deadline, now = self._deadline, self._services.now()
        if deadline is None or not self._looked_at < deadline <= now:
            return False
        self._looking, self._looked_at = [outcome], now
        self._services.supervisor.spawn(self._look())
        return True

    async def _look(self) -> None:
        await self._services.supervisor.signals_until_now(self._action.run.ticket)
        put_off, self._looking = self._looking, None
        for outcome in put_off or ():
            if outcome.kind == RecordKind.TIMER:
                self._due()
            else:
                self._action.settle(outcome)

    def _ask(self, name: str) -> None:
        while (call := self._signals.next_wait(name)) is not None:
            signal = self._action.run.take_signal(name, self._deadline)
            if signal is None:
                self.put_off = self.put_off or self._action.run.has_signal(name)
                return
            self._take(signal, call)

    def _take(self, signal: Record, call: DurableCall[Any]) -> None:
        self._signals.coming(signal)
        self._steps = STEPS_AFTER_SIGNAL
        action = self._action
        taken = Record.taken(action.run_number, action.event, action.name, signal)
        action.settle(
            taken, min(signal.signal_id, self._services.now()), self._open.taken_for(call)
        )


def not_waited(where: object, taken: Record, then: str = "") -> NonDeterminismError:
    """Return what says that an action took a signal which it has not waited for this time.

    Args:
        where: the action.
        taken: the signal's settlement.
        then: how the action has ended, after a comma; "" where it has not failed.
    """
    return NonDeterminismError(
        f"{where}: the journal has a signal {taken.signal_name!r} that the action took, as"
        f" settlement {taken.n}, but at that point it has not waited for one{then}: it took another"
        " way than when it first ran. Make it depend only on its event, its memory and its calls"
    )
