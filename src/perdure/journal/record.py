"""What the journal holds of a run: plain data, in the order in which it was committed."""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from perdure.errors import DecodeError


class RecordKind(enum.IntEnum):
    """What a record says. The numbers are stored; `Record` has a constructor for each."""

    START = 1  # an action first started: its time and the memory it reads
    RESULT = 2  # settlement: a call returned
    ERROR = 3  # settlement: a call raised
    TIMER = 4  # settlement: a durable timer came due
    CANCEL = 5  # settlement: the run was asked to stop
    PENDING = 6  # a call with a reconciler is about to start
    COMPLETED = 7  # an action ended: what it did
    CUT = 8  # the action's settlements from one on no longer count
    RETRY = 9  # the run was put back; unfinished actions are cut at their first failed outcome
    ATTEMPT = 10  # an attempt of a call failed, or began
    SIGNAL = 11  # a signal came for the run, or is given back by an action
    TAKEN = 12  # settlement: an action took a signal
    NOTE = 13  # what the run says that it is doing
    LOGGED = 14  # lines that an action logged in a turn are emitted


# A named tuple by position, for what every run and call makes: `_replace` and the constructor take
# three times and twice as long, and by name the latter four times.
by_position = tuple.__new__
# What a record holds: sqlite3 binds at once what is exactly an int, and no member of an enum; and a
# global takes a tenth of the time of an attribute of an enum's class.
(
    _START, _RESULT, _ERROR, _TIMER, _CANCEL, _PENDING, _COMPLETED, _CUT, _RETRY, _ATTEMPT, _SIGNAL,
    _TAKEN, _NOTE, _LOGGED,
) = map(int, RecordKind)  # fmt: skip

SETTLEMENTS = frozenset(
    (
        RecordKind.RESULT, RecordKind.ERROR, RecordKind.TIMER, RecordKind.CANCEL, RecordKind.TAKEN,
    )
)  # fmt: skip
OF_RUN = frozenset((RecordKind.RETRY, RecordKind.SIGNAL, RecordKind.NOTE))  # of no action
# The rules that new actions are run by; one that was recorded under others keeps them to its end.
# 1: an event has its id from construction on; values and objects of memory do not replace each
# other unless they are told to; the lines that it logs are marked (LOGGED).
# 2: an answer to an approval that has a key which no answer has is none.
# 3: a tool call that no tool takes is a durable call like any other; a chat inside an action
# makes no event of its request, which took an id.
RULES = 3
_TIMED_OUT = "timed out"  # the detail of a CUT; others have none
WITH_LISTS = 1  # the `n` of a NOTE that is a mapping with lists


class EventRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An event that an action sent, as its completion holds it."""

    number: int
    type: str
    id: str
    attributes: bytes
    source_event: int
    action: str


class Completion(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What an action did, in the one record that makes it visible (G3).

    Attributes:
        events: events sent, in order, outputs excluded.
        sensory: writes to sensory memory, (path, encoded value or None for a tombstone).
        short_term: the same of short-term memory.
        outputs: number of outputs the run has made so far.
        created: number of events the run has made so far, outputs included.
        kept: paths of short-term memory that were read, whose time to live begins anew.
    """

    events: list[EventRecord]
    sensory: list[tuple[str, bytes | None]]
    short_term: list[tuple[str, bytes | None]]
    outputs: int
    created: int
    kept: list[str] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Completion)


def encode_completion(completion: Completion) -> bytes:
    """Return the bytes of `completion`."""
    return _encoder.encode(completion)


def decode_completion(data: bytes) -> Completion:
    """Return the completion that `data` holds.

    Raises:
        DecodeError: the bytes are damaged.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError.of_damage(f"a completion record is damaged: {error}") from error


class StoredPayload(bytes):
    """Stands for a payload that is still in the store: what the store finds it by.

    A large outcome is read when it is fed to its action, so that a replay holds no more of them
    than the action did.
    """

    __slots__ = ()


class Record(NamedTuple):
    """One line of a run's journal; a tuple, so that stores bind it as it is.

    A field has its own meaning in the records of calls, and often another one in those of another
    kind. So a record is made by the constructor of its kind, and what its kind gives another
    meaning is read by the property that says which. A constructor names the fields that it sets;
    what makes a record of another copies the rest: a field more, with a default, needs no change
    of those that do not set it.

    Attributes:
        run: the run's number in the store.
        event: number of the event in the run (0 is the input).
        action: the action's name; "" where the record is about the whole run.
        n: number of the settlement in its action, from 1; else see `version`, `attempts`,
            `void_from`, `has_lists`; of a RETRY the run's attempt.
        kind: a `RecordKind`.
        call: number of the call in its action, from 1; 0 where there is none. Of a CUT the first
            that is made again.
        function: identity of the callable.
        digest: digest of the arguments, 16 bytes; a sketch of them may follow it.
        detail: short text of the arguments, for messages and timelines; else see `reason`,
            `signal_name`, `is_of_timeout`.
        payload: see `outcome`, `failure`, `completion`, `signal_value`, `said`; of a large
            outcome a store may give a `StoredPayload` in its place.
        started_at: when the call's execution began, ns since the epoch; of a TAKEN see
            `signal_id`.
        at: time of the record, ns since the epoch; for a settlement its durable time. Of an
            attempt that failed see `due_at`, of a SIGNAL `signal_id`.
        rules: of a START the rules that its action is run by to its end (see `RULES`); None for
            those from before rules had numbers, and in the records of every other kind.
        waited: of RESULT and ERROR what the call waited for, see `waited.py`; None for nothing.
    """

    run: int
    event: int
    action: str
    n: int
    kind: int
    call: int = 0
    function: str = ""
    digest: bytes | None = None
    detail: str = ""
    payload: bytes | None = None
    started_at: int = 0
    at: int = 0
    rules: int | None = None
    waited: int | None = None

    # An action: its start and its end

    @classmethod
    def start(
        cls, run: int, event: int, action: str, *, version: int, at: int, rules: int | None = None
    ) -> Record:
        """Return the START of an action that reads this version of the run's memory."""
        values = (run, event, action, version, _START, *_NO_CALL, None, 0, at, rules, *_NO_MORE)
        return by_position(cls, values)

    @classmethod
    def completed(
        cls, run: int, event: int, action: str, *, version: int, did: Completion, at: int
    ) -> Record:
        """Return what says that an action did `did`, which makes this version of the memory."""
        return cls.completion_of(run, event, action, version, encode_completion(did), at)

    @classmethod
    def completion_of(
        cls, run: int, event: int, action: str, version: int, payload: bytes, at: int
    ) -> Record:
        """Do what `completed` does, with what the action did in its encoded form."""
        values = (run, event, action, version, _COMPLETED, *_NO_CALL, payload, 0, at, None)
        return by_position(cls, (*values, *_NO_MORE))

    @classmethod
    def cut(
        cls, run: int, event: int, action: str, *, void_from: int, call: int, at: int
    ) -> Record:
        """Return what makes settlements void: call `call` and all after it are made again."""
        return cls(run, event, action, void_from, _CUT, call, at=at)

    @classmethod
    def timed_out(
        cls, run: int, event: int, action: str, *, void_from: int, call: int, at: int
    ) -> Record:
        """Return a CUT of an action that a timeout has ended: outcomes that it voids still answer.

        `call` is the first that was not made; calls before it may be in doubt.
        """
        return cls.cut(run, event, action, void_from=void_from, call=call, at=at)._replace(
            detail=_TIMED_OUT
        )

    # A call: first without an outcome, then what becomes of it

    @classmethod
    def of_call(
        cls, run: int, event: int, action: str, call: int, function: str, digest: bytes, detail: str
    ) -> Record:
        """Return the record of a call without an outcome; what becomes of the call is made of it.

        Args:
            run: number of the run.
            event: number of the event.
            action: name of the action.
            call: number of the call.
            function: identity of the callable.
            digest: digest of the arguments, 16 bytes; a sketch of them may follow it.
            detail: short text of them.
        """
        values = (run, event, action, 0, _RESULT, call, function, digest, detail)
        return by_position(cls, (*values, *_NO_OUTCOME))

    def returned(self, outcome: bytes, started_at: int) -> Record:
        """Return that this call returned, without number and time."""
        return by_position(Record, (*self[:9], outcome, started_at, *self[11:]))

    def raised(self, failure: bytes, started_at: int) -> Record:
        """Return that this call raised, without number and time."""
        values = (*self[:4], _ERROR, *self[5:9], failure, started_at, *self[11:])
        return by_position(Record, values)

    def pending(
        self, attempts: int, *, at: int, failure: bytes | None = None, started_at: int = 0
    ) -> Record:
        """Return that this call is in doubt until its outcome is recorded (G11).

        Args:
            attempts: attempts that have failed.
            at: now; after a failure when the next attempt is due; ns since the epoch.
            failure: of the last attempt to ask the reconciler, encoded.
            started_at: when that began.
        """
        return self._replace(
            n=attempts, kind=_PENDING, payload=failure, started_at=started_at, at=at
        )

    def attempt(
        self, number: int, *, at: int, failure: bytes | None = None, started_at: int = 0
    ) -> Record:
        """Return that an attempt of this call failed, or, without a failure, that it began.

        Args:
            number: which attempt, from 1; 0 takes back that the first one began.
            at: when the next attempt is due; of one that began, now; ns since the epoch.
            failure: why it failed, encoded.
            started_at: when it began.
        """
        return self._replace(n=number, kind=_ATTEMPT, payload=failure, started_at=started_at, at=at)

    # What else reaches an action

    @classmethod
    def timer(cls, run: int, event: int, action: str) -> Record:
        """Return that a timer of an action came due, without number and time."""
        return cls(run, event, action, 0, _TIMER)

    @classmethod
    def cancel(cls, run: int, event: int, action: str, reason: str) -> Record:
        """Return that an action is asked to stop, without number and time."""
        return cls(run, event, action, 0, _CANCEL, detail=reason)

    @classmethod
    def taken(cls, run: int, event: int, action: str, signal: Record) -> Record:
        """Return that an action takes a signal of its run, without number and time."""
        return cls(
            run, event, action, 0, _TAKEN, detail=signal.detail, payload=signal.payload,
            started_at=signal.at,
        )  # fmt: skip

    def settled(self, n: int, at: int) -> Record:
        """Return this settlement with its number in the action and its durable time."""
        return by_position(Record, (*self[:3], n, *self[4:11], at, *self[12:]))

    def begun_later(self, by: int) -> Record:
        """Return this settlement, where it is a call's with a later begin: by so many ns.

        One that gets a later time than the clock says takes as long as it took.
        """
        has_begun = self.call and self.started_at
        return self._replace(started_at=self.started_at + by) if has_begun else self

    @classmethod
    def logged(cls, run: int, event: int, action: str, turn: int, lines: int, *, at: int) -> Record:
        """Return that the first `lines` lines of the turn after settlement `turn` are emitted."""
        return cls(run, event, action, turn, _LOGGED, started_at=lines, at=at)

    # The run

    @classmethod
    def retry(cls, run: int, *, attempt: int, at: int) -> Record:
        """Return that a run was put back, for its attempt `attempt`."""
        return cls(run, 0, "", attempt, _RETRY, at=at)

    @classmethod
    def signal(cls, run: int, name: str, value: bytes, at: int) -> Record:
        """Return that a signal came for a run; `at` identifies it there."""
        return cls(run, 0, "", 0, _SIGNAL, detail=name, payload=value, at=at)

    @classmethod
    def note(cls, run: int, said: bytes, *, has_lists: bool, at: int) -> Record:
        """Return what a run says that it is doing: `said`, a mapping with lists or not."""
        n = WITH_LISTS if has_lists else 0
        return cls(run, 0, "", n, _NOTE, payload=said, at=at)

    # What the fields say in the records of each kind

    @property
    def version(self) -> int:
        """Of START the version of the run's memory that the action reads, of COMPLETED its own.

        That is the number of the run's completions until then.
        """
        return self.n

    @property
    def lines(self) -> tuple[int, int]:
        """Of LOGGED: the settlement before the turn (0: none), and how many lines of it."""
        return self.n, self.started_at

    @property
    def completion(self) -> Completion:
        """Of COMPLETED: what the action did.

        Raises:
            DecodeError: the record is damaged.
        """
        return decode_completion(self.payload or b"")

    @property
    def void_from(self) -> int:
        """Of CUT: number of the first settlement that no longer counts."""
        return self.n

    @property
    def is_of_timeout(self) -> bool:
        """Of CUT: see `timed_out`; else the action went another way than when it first ran."""
        return self.detail == _TIMED_OUT

    @property
    def outcome(self) -> bytes:
        """Of RESULT the encoded value, of ERROR the encoded exception: what settles the call."""
        return self.payload or b""

    @property
    def failure(self) -> bytes | None:
        """Of ERROR, ATTEMPT and PENDING: the encoded exception; None where none has failed."""
        return self.payload

    @property
    def attempts(self) -> int:
        """Of PENDING how many attempts have failed, of ATTEMPT which has failed or begun."""
        return self.n

    @property
    def due_at(self) -> int:
        """Of ATTEMPT and PENDING: when the next attempt may begin, ns since the epoch."""
        return self.at

    @property
    def is_beginning(self) -> bool:
        """True of an ATTEMPT that began: where nothing follows, it ended with its process."""
        return self.kind == _ATTEMPT and self.payload is None

    @property
    def reason(self) -> str:
        """Of CANCEL: why the action was asked to stop; "" in journals of the first version."""
        return self.detail

    @property
    def signal_id(self) -> int:
        """Of SIGNAL and TAKEN: what identifies the signal in its run."""
        return self.started_at if self.kind == _TAKEN else self.at

    @property
    def signal_name(self) -> str:
        """Of SIGNAL and TAKEN: the signal's name."""
        return self.detail

    @property
    def signal_value(self) -> bytes:
        """Of SIGNAL and TAKEN: the signal's encoded value."""
        return self.payload or b""

    @property
    def given_back(self) -> Record:
        """Of TAKEN: the SIGNAL that the action was handed, for the run to keep."""
        return Record.signal(self.run, self.signal_name, self.signal_value, self.signal_id)

    @property
    def has_lists(self) -> bool:
        """Of NOTE: what was said is a mapping with lists."""
        return self.n == WITH_LISTS

    @property
    def said(self) -> bytes:
        """Of NOTE: the encoded value of what the run says that it is doing."""
        return self.payload or b""


_DEFAULTS = tuple(Record._field_defaults.values())  # from `call` on
_NO_CALL, _NO_OUTCOME, _NO_MORE = _DEFAULTS[:4], _DEFAULTS[4:], _DEFAULTS[8:]

_signal_decoder = msgspec.msgpack.Decoder(tuple[str, bytes])


def encode_signal(name: str, value: bytes) -> bytes:
    """Return a signal as a command of the inbox carries it; `value` is encoded already."""
    return _encoder.encode((name, value))


def decode_signal(data: bytes) -> tuple[str, bytes]:
    """Return the name and the encoded value of a signal.

    Raises:
        DecodeError: the bytes are damaged.
    """
    try:
        return _signal_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError.of_damage(f"a signal in the inbox is damaged: {error}") from error
