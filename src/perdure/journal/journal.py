"""Journal: the replay state machine of one action. Pure: no I/O, no clock, no asyncio.

An action that starts again is fed its recorded settlements in their first order, one at a time.
Each call that it makes on the way must be the call that the journal knows under that number.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from perdure.errors import NonDeterminismError
from perdure.journal.record import OF_RUN, RULES, SETTLEMENTS, Record, RecordKind


class Decision(enum.Enum):
    """What to do with a call that the action has made."""

    RUN = "run"  # no outcome is known: start it (when replay is over)
    REPLAY = "replay"  # its outcome is recorded and will be fed in its turn
    ANSWER = "answer"  # a retried run knows the outcome already: settle it with that, now
    RECONCILE = "reconcile"  # it may have executed: ask its reconciler


class KnownCall(Protocol):
    """A call that is made now, under all the names that it ever had."""

    def is_recorded_as(self, function: str, digest: bytes | None) -> bool:
        """Say whether it is the call that was recorded as this, under older names."""

    def differs_in(self, digest: bytes | None) -> str:
        """Return which of its arguments are not the recorded ones; "" where none knows."""


class CallStep(msgspec.Struct, frozen=True):
    """The number given to a call and what to do with it."""

    number: int
    decision: Decision
    answer: Record | None = None
    failed: Record | None = None  # of its last attempt, which had no outcome; the next is due


class ActionHistory(NamedTuple):
    """What the journal holds of one unfinished action.

    Attributes:
        start: its START record, None when it never came to a commit (or is to start anew).
        settlements: what reached it, in order.
        answers: outcomes behind a cut of a retry, which still answer the same call.
        begun: of calls without an outcome, the last PENDING or ATTEMPT record each.
        began: when it first started, where it is to start anew with settlements that it keeps;
            ns since the epoch, else 0.
        kept_rules: the rules that it goes on by then.
        logged: how many lines it has logged in which turn, see `Record.lines`.
    """

    start: Record | None = None
    settlements: Sequence[Record] = ()
    answers: Sequence[Record] = ()
    begun: Sequence[Record] = ()
    began: int = 0
    kept_rules: int | None = None
    logged: Mapping[int, int] = {}

    def rules(self, new: int | None) -> int | None:
        """Return the rules of its next START: those it has gone on by, or `new` ones."""
        return self.kept_rules if self.settlements else new

    @property
    def marked_lines(self) -> Mapping[int, int] | None:
        """What `logged` says; None where lines were not marked."""
        rules = self.start.rules if self.start is not None else self.rules(RULES)
        return self.logged if rules is not None else None


DIGEST_SIZE = 16
NEW = ActionHistory()
_NO_RECORDS: list[Record] = []
_NO_CALLS: dict[int, Record] = {}


def fold(records: Iterable[Record]) -> dict[tuple[int, str], ActionHistory]:
    """Return the histories of a run's unfinished actions, by (event number, action name).

    Args:
        records: the run's records in commit order.
    """
    histories: dict[tuple[int, str], ActionHistory] = {}
    for record in records:
        key = (record.event, record.action)
        history = histories.get(key, NEW)
        if record.kind in SETTLEMENTS:
            begun = history.begun
            if begun:
                begun = [old for old in begun if old.call != record.call]
            # Appended in place where the list is this fold's own: a copy each would be quadratic.
            settlements = history.settlements
            if isinstance(settlements, list):
                settlements.append(record)
                if begun == history.begun:
                    continue
            else:
                settlements = [record]
            history = history._replace(settlements=settlements, begun=begun)
        elif record.kind == RecordKind.START:
            history = history._replace(start=record)
        elif record.kind in (RecordKind.PENDING, RecordKind.ATTEMPT):
            begun = [old for old in history.begun if old.call != record.call]
            history = history._replace(begun=[*begun, record])
        elif record.kind == RecordKind.LOGGED:
            history = history._replace(logged={**history.logged, record.n: record.lines[1]})
        elif record.kind == RecordKind.CUT:
            kept = [old for old in history.settlements if old.n < record.void_from]
            begun = [old for old in history.begun if old.call < record.call]
            answers = history.answers
            if record.is_of_timeout:
                answers = [*answers, *_results(history.settlements[len(kept) :])]
            logged = _logged_before(history, record.void_from)
            history = history._replace(
                settlements=kept, answers=answers, begun=begun, logged=logged
            )
        elif record.kind == RecordKind.COMPLETED:
            histories.pop(key, None)
            continue
        elif record.kind in OF_RUN:
            if record.kind == RecordKind.RETRY:
                histories = {key: cut_at_failure(old, record.at) for key, old in histories.items()}
            continue
        histories[key] = history
    return histories


def cut_at_failure(history: ActionHistory, at: int) -> ActionHistory:
    """Return what a retry leaves of `history`: the settlements before the first failed outcome.

    Later successes stay as answers for a call of the same number and identity. The action gets a
    new START record. Its time is as it was up to the last settlement that it keeps, since calls
    may depend on it; from there on it is the time of the retry, so that a timeout that was over
    then begins anew.

    Args:
        history: what the journal holds of the action.
        at: time of the retry, ns since the epoch.
    """
    settled = history.settlements
    failed = (at for at, r in enumerate(settled) if r.kind in (RecordKind.ERROR, RecordKind.CANCEL))
    cut = next(failed, len(settled))
    kept, answers = list(settled[:cut]), [*history.answers, *_results(settled[cut:])]
    # Their attempts are counted anew.
    in_doubt = [r._replace(n=0) for r in history.begun if r.kind == RecordKind.PENDING]
    logged = _logged_before(history, kept[-1].n + 1 if kept else 1)
    if not kept:
        return ActionHistory(answers=answers, begun=in_doubt, logged=logged)
    kept[-1] = kept[-1]._replace(at=max(kept[-1].at, at))
    began, rules = history.began, history.kept_rules
    if history.start is not None:
        began, rules = history.start.at, history.start.rules
    return ActionHistory(
        settlements=kept, answers=answers, begun=in_doubt, began=began, kept_rules=rules,
        logged=logged,
    )  # fmt: skip


def _results(settlements: Iterable[Record]) -> list[Record]:
    return [record for record in settlements if record.kind == RecordKind.RESULT]


def _logged_before(history: ActionHistory, settlement: int) -> Mapping[int, int]:
    """Return the marks of the turns before a settlement."""
    return {turn: lines for turn, lines in history.logged.items() if turn < settlement}


def _is_same(
    recorded: Record, function: str, digest: bytes, known: Callable[[], KnownCall] | None
) -> bool:
    size = DIGEST_SIZE
    if recorded.function == function and (recorded.digest or b"")[:size] == digest[:size]:
        return True
    return known is not None and known().is_recorded_as(recorded.function, recorded.digest)


def _by_call(records: Sequence[Record]) -> dict[int, Record]:
    return {r.call: r for r in records if r.call} if records else _NO_CALLS


class Journal:
    """The replay state of one running action.

    Owns: the cursor over the recorded settlements, the numbers of calls and settlements.

    Args:
        history: what is recorded of the action.
        where: says key, run and action, for messages; turned into text only for one.
    """

    def __init__(self, history: ActionHistory, where: object) -> None:
        self._where = where
        self._cursor = 0
        self._calls = 0
        self._settled = 0
        if history is NEW:  # as of most actions: nothing changes these
            self._recorded = _NO_RECORDS
            self._outcomes = self._answers = self._begun = _NO_CALLS
            return
        self._recorded = list(history.settlements) if history.settlements else _NO_RECORDS
        self._outcomes = _by_call(self._recorded)
        self._answers = _by_call(history.answers)
        self._begun = _by_call(history.begun)

    @property
    def calls(self) -> int:
        """Number of calls made so far."""
        return self._calls

    def upcoming(self) -> Record | None:
        """Return the settlement that `next` would take."""
        return self._recorded[self._cursor] if self.replaying else None

    @property
    def replaying(self) -> bool:
        """True while recorded settlements are still to be fed."""
        return self._cursor < len(self._recorded)

    def new_call(self) -> int:
        """Number a call where none is recorded; 0 where some are: `call` then looks at it."""
        if self._outcomes or self._answers or self._begun:
            return 0
        self._calls += 1
        return self._calls

    def call(
        self,
        function: str,
        digest: bytes,
        detail: str,
        *,
        reconciled: bool,
        known: Callable[[], KnownCall] | None = None,
    ) -> CallStep:
        """Number a call that the action makes now, and say what to do with it.

        Args:
            function: identity of the callable.
            digest: digest of its arguments; what follows its 16 bytes does not count.
            detail: short text of its arguments, for messages.
            reconciled: the call has a reconciler.
            known: gives the call under all its names; asked where these do not match.

        Raises:
            NonDeterminismError: the journal knows another call under this number (G7).
        """
        self._calls += 1
        number = self._calls
        if not (self._outcomes or self._answers or self._begun):
            return CallStep(number, Decision.RUN)
        recorded = self._outcomes.get(number) or self._begun.get(number)
        if recorded is not None:
            if not _is_same(recorded, function, digest, known):
                raise self._mismatch(number, recorded, function, detail, known)
            if recorded.kind in SETTLEMENTS:
                return CallStep(number, Decision.REPLAY)
        answer = self._answers.get(number)
        if answer is not None and _is_same(answer, function, digest, known):
            return CallStep(number, Decision.ANSWER, answer)
        if recorded is not None and recorded.kind == RecordKind.PENDING and reconciled:
            return CallStep(number, Decision.RECONCILE, failed=recorded)
        return CallStep(number, Decision.RUN, failed=recorded)

    def next(self) -> Record | None:
        """Take the next recorded settlement, or None when replay is over.

        Raises:
            NonDeterminismError: it settles a call that the action has not made by now.
        """
        if not self.replaying:
            return None
        record = self._recorded[self._cursor]
        if record.call > self._calls:
            raise self._unmade(record)
        self._cursor += 1
        self._settled = max(self._settled, record.n)
        return record

    def check_end(self, then: str = "") -> None:
        """Take note that the action has ended.

        Args:
            then: how, after a comma; "" where it has not failed.

        Raises:
            NonDeterminismError: the journal has an outcome of a call that it never made.
        """
        for record in self._recorded[self._cursor :]:
            if record.call > self._calls:
                raise self._unmade(record, then)

    def take(self, wanted: Callable[[Record], bool]) -> Record | None:
        """Take the first recorded settlement that is wanted, out of its turn (G19)."""
        for index in range(self._cursor, len(self._recorded)):
            if wanted(self._recorded[index]):
                record = self._recorded.pop(index)
                self._settled = max(self._settled, record.n)
                return record
        return None

    def settle(self) -> int:
        """Return the number of a new settlement: after all that are recorded, fed or not."""
        if self._cursor < len(self._recorded):
            self._settled = max(self._settled, self._recorded[-1].n)
        self._settled += 1
        return self._settled

    def add(self, record: Record) -> None:
        """Take in a settlement that came during the replay: it is fed after those before it."""
        self._recorded = [*self._recorded, record]

    def cut_from(self, call: int) -> int:
        """Drop the recorded settlements from the first one of call `call` or a later call on.

        For `on-divergence: reexecute`. Returns the number from which settlements are void; the
        caller records it, so that a later replay sees the same.
        """
        self._begun = {number: r for number, r in self._begun.items() if number < call}
        for index in range(self._cursor, len(self._recorded)):
            record = self._recorded[index]
            if record.call >= call:
                del self._recorded[index:]
                self._outcomes = {r.call: r for r in self._recorded if r.call}
                return record.n
        return self._settled + 1

    def _unmade(self, record: Record, then: str = "") -> NonDeterminismError:
        return NonDeterminismError(
            f"{self._where}: the journal has an outcome of call {record.call},"
            f" {record.function}({record.detail}), as settlement {record.n}, but at that point"
            f" the action has made only {self._calls} call(s){then}: it took another way than when"
            " it first ran. Make it depend only on its event, its memory and its calls"
        )

    def _mismatch(
        self,
        number: int,
        recorded: Record,
        function: str,
        detail: str,
        known: Callable[[], KnownCall] | None,
    ) -> NonDeterminismError:
        was, now = f"{recorded.function}({recorded.detail})", f"{function}({detail})"
        found = f"{self._where}: call {number} is recorded as {was}, but now the action made"
        place = ""
        if function == recorded.function and known is not None:
            place = known().differs_in(recorded.digest)
        if was == now:
            unshown = "a type's name, an empty field, or a part further on"
            where = place or f"what the journal does not show: {unshown}"
            found += f" one that looks alike and differs in {where}"
        else:
            found += f" {now}" + (f", which differs in {place}" if place else "")
        return NonDeterminismError(
            f"{found}: it took another way than when it first ran. Make it depend only on its"
            " event, its memory and its calls; give a class or function that was moved its old"
            " name (register_type(name=, aliases=), @durable(id=, aliases=)); or set"
            " on-divergence: reexecute"
        )
