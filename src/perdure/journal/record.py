"""What the journal holds of a run: plain data, in the order in which it was committed."""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from perdure.errors import DecodeError


class RecordKind(enum.IntEnum):
    """What a record says. The numbers are stored."""

    START = 1  # an action first started: its time and the memory it reads
    RESULT = 2  # settlement: a call returned
    ERROR = 3  # settlement: a call raised
    TIMER = 4  # settlement: a durable timer came due
    CANCEL = 5  # settlement: the run was asked to stop
    PENDING = 6  # a call with a reconciler is about to start
    COMPLETED = 7  # an action ended; payload: a Completion
    CUT = 8  # the action's settlements from number n on no longer count
    RETRY = 9  # the run was put back; unfinished actions are cut at their first failed outcome
    ATTEMPT = 10  # an attempt of a call failed; n: which; at: when the next one is due; without a
    # payload: it began, and where nothing follows it ended with its process
    SIGNAL = 11  # a signal came for the run, or is given back by an action; at: which
    TAKEN = 12  # settlement: an action took a signal; started_at: the `at` of the signal
    NOTE = 13  # what the run says that it is doing


SETTLEMENTS = frozenset(
    (
        RecordKind.RESULT, RecordKind.ERROR, RecordKind.TIMER, RecordKind.CANCEL, RecordKind.TAKEN,
    )
)  # fmt: skip
OF_RUN = frozenset((RecordKind.RETRY, RecordKind.SIGNAL, RecordKind.NOTE))  # of no action


class Record(NamedTuple):
    """One line of a run's journal. Built with keywords; a tuple, so that stores bind it as it is.

    Attributes:
        run: the run's number in the store.
        event: number of the event in the run (0 is the input).
        action: the action's name; "" where the record is about the whole run.
        n: number of the settlement in its action, from 1; of the completion in its run.
        kind: a `RecordKind`.
        call: number of the call in its action, from 1; 0 where there is none.
        function: identity of the callable.
        digest: digest of the arguments, 16 bytes; a sketch of them may follow it.
        detail: short text of the arguments, for messages and timelines; of a signal its name.
        payload: encoded outcome or completion.
        started_at: when the call's execution began, ns since the epoch.
        at: time of the record, ns since the epoch; for a settlement its durable time.
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
    """

    events: list[EventRecord]
    sensory: list[tuple[str, bytes | None]]
    short_term: list[tuple[str, bytes | None]]
    outputs: int
    created: int


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
    except msgspec.MsgspecError as error:
        raise DecodeError(f"a completion record is damaged: {error}") from error


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
    except msgspec.MsgspecError as error:
        raise DecodeError(f"a signal in the inbox is damaged: {error}") from error
