"""What stores write and read: rows, one kind for each table, and what they are shown as.

Without `from __future__ import annotations`: `NamedTuple` would compile each text of an annotation.
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from perdure.journal.record import Record
from perdure.store.documents import DocumentRow
from perdure.store.files import BadLineRow, FileRow, MendedLineRow
from perdure.store.generations import title

NUMBER_BITS = 40  # a job's runs and keys are numbered from job << 40

T = TypeVar("T")


class KeyRow(NamedTuple):
    """A key of the job and the sequence of its newest run. Upserted; never deleted."""

    key: int
    job: int
    digest: bytes
    value: bytes
    sequence: int


class RunRow(NamedTuple):
    """A run. Inserted at admission.

    Attributes:
        run: number in the store.
        job: the job's number.
        key: number of its key.
        sequence: its number in its key, from 1.
        label: the id or the source position it was given with, for people; "" without.
        value: the encoded input.
        status: number of a RunStatus (`run.STATUS_NUMBERS`). RUNNING is never stored: it is what
            a QUEUED run that has records is shown as.
        place: its place in the queue of its key; a retry gives a new one. A store may forget that
            of a run that has ended, and give 0.
        attempt: times it was put back.
        error: the encoded failure of a FAILED run.
        admitted_at: ns since the epoch.
        finished_at: ns since the epoch, 0 before.
        due: when it may join its key's queue, ns since the epoch; 0 at once.
    """

    run: int
    job: int
    key: int
    sequence: int
    label: str
    value: bytes
    status: int
    place: int
    attempt: int
    error: bytes | None
    admitted_at: int
    finished_at: int
    due: int = 0

    def as_now(self, status: "StatusRow") -> "RunRow":
        """Return the run as its newest status row says that it stands."""
        return self._replace(
            status=status.status, place=status.place, attempt=status.attempt, error=status.error,
            finished_at=status.finished_at,
        )  # fmt: skip


class InputRow(NamedTuple):
    """That an input was admitted, for ever: by id, or by its position in a source (G2)."""

    job: int
    source: str  # "" for ids
    id: str | int
    run: int
    digest: bytes


class StatusRow(NamedTuple):
    """A change of a run's status."""

    status: int
    place: int
    attempt: int
    error: bytes | None
    finished_at: int
    run: int


class MemoryRow(NamedTuple):
    """One path of a key's short-term memory; `data` None is a tombstone."""

    key: int
    path: str
    data: bytes | None
    written_at: int


class OutputRow(NamedTuple):
    """One output of a run, in the outbox until a sink has it."""

    run: int
    number: int
    id: str
    value: bytes
    delivered: int


class DeliveredRow(NamedTuple):
    """That the sink has an output."""

    run: int
    number: int


class SinkRow(NamedTuple):
    """How far a sink has come: its size at the start and its last durable offset."""

    job: int
    name: str
    base: int
    offset: int


class WaitRow(NamedTuple):
    """A wait that is open: what an action waits for from outside; gone when the wait ends.

    Attributes:
        run: number of the run.
        event: number of the event that the action handles.
        action: its name.
        call: number of the wait in its action, from 1.
        name: name of the signal that ends it.
        kind: "signal", or "approval" for one that takes a yes or a no alone.
        question: what a person is asked, if anything.
        since: when it was opened, ns since the epoch.
    """

    run: int
    event: int
    action: str
    call: int
    name: str
    kind: str
    question: str | None
    since: int


class WaitEndRow(NamedTuple):
    """That a wait has ended."""

    run: int
    event: int
    action: str
    call: int


class ActionWaitsEndRow(NamedTuple):
    """That all waits of an action have ended that were told before this commit."""

    run: int
    event: int
    action: str


class CommandRow(NamedTuple):
    """What a person asked of a run, from any process; the owner takes it from the inbox."""

    job: int
    run: int
    command: str
    payload: bytes | None
    at: int


class CommandDoneRow(NamedTuple):
    """That a command of the inbox was carried out."""

    number: int


Row = (
    KeyRow | RunRow | InputRow | Record | StatusRow | MemoryRow | OutputRow | DeliveredRow
    | SinkRow | DocumentRow | CommandRow | CommandDoneRow | FileRow | BadLineRow | MendedLineRow
    | ActionWaitsEndRow | WaitRow | WaitEndRow
)  # fmt: skip

# One fixed order of kinds inside a commit: no row depends on one of a later kind. A command comes
# after the statuses it may refer to, and what marks it done after it. What ends all waits of an
# action comes before those that it opens again.
ROW_ORDER: tuple[type, ...] = (
    KeyRow, RunRow, InputRow, Record, StatusRow, MemoryRow, OutputRow, DeliveredRow, SinkRow,
    DocumentRow, CommandRow, CommandDoneRow, FileRow, BadLineRow, MendedLineRow,
    ActionWaitsEndRow, WaitRow, WaitEndRow,
)  # fmt: skip


class JobAgent(NamedTuple):
    """Whose job it is.

    Attributes:
        name: what tells its agent from another.
        source: a digest of the source of the agent's own modules; "" where there is none.
    """

    name: str
    source: str


class JobInfo(NamedTuple):
    """What the owner of a job starts from: the newest numbers are those of its only shard.

    A store with several shards says the newest of each when it is taken (`ShardInfo`).

    Attributes:
        job: its number.
        last_run: the last number of a run or a place.
        last_key: the last number of a key.
        agent: its agent when it was last open; None where it is new, or nobody said.
        generation: number of its present generation, from 1.
    """

    job: int
    last_run: int
    last_key: int
    agent: JobAgent | None = None
    generation: int = 1


class ShardInfo(NamedTuple):
    """The newest numbers of a shard of a job, 0 without any."""

    last_run: int
    last_key: int


class KeyState(NamedTuple):
    """A key with its short-term memory."""

    row: KeyRow
    memory: Sequence[MemoryRow]


class StoredOutput(NamedTuple):
    """An output with its key, in commit order."""

    run: int
    number: int
    id: str
    value: bytes
    key: bytes
    delivered: int


class Command(NamedTuple):
    """A command of the inbox."""

    number: int
    run: int
    command: str
    payload: bytes | None
    at: int = 0  # when it was left, ns since the epoch


class JobRow(NamedTuple):
    """A job of the store, or one generation of it, which has all that a job has.

    Attributes:
        job: its number, which no other generation has.
        name: the job's name, which all its generations have.
        created_at: ns since the epoch.
        generation: its number, from 1.
        later: how many generations came after it; the one without is the present one.
    """

    job: int
    name: str
    created_at: int
    generation: int = 1
    later: int = 0

    @property
    def title(self) -> str:
        """What people call it: JOB@N, or JOB where that is the first and the only one."""
        is_only = self.generation == 1 and not self.later
        return self.name if is_only else title(self.name, self.generation)


class LifeRow(NamedTuple):
    """A process that had a job.

    Attributes:
        life: its number, in the order of their beginnings.
        job: the job's number.
        host: name of the machine.
        pid: number of the process there.
        begun_at: when it took the job, ns since the epoch.
        seen_at: when it is last known to have had it, ns since the epoch: while it writes, to some
            seconds; what it has written says the rest.
        ended_at: when it gave the job back; None while it has it, and where it was killed.
        code: a digest of the agent's source; "" where there is none.
    """

    life: int
    job: int
    host: str
    pid: int
    begun_at: int
    seen_at: int
    ended_at: int | None
    code: str | None


class RunHead(NamedTuple):
    """A run as lists show it.

    Attributes:
        row: its row; one that is queued there and has begun stands as running here.
        key: its key, encoded.
        note: what it last said that it does, encoded; None without.
    """

    row: RunRow
    key: bytes
    note: bytes | None


class CollectionInfo(NamedTuple):
    """A collection of documents, and how many it has."""

    name: str
    size: int


class Page(NamedTuple, Generic[T]):
    """A part of a list; `after` gets the next one, "" at the end. Opaque, one word of ASCII."""

    items: list[T]
    after: str


class Changes(NamedTuple):
    """What is new in a job.

    Attributes:
        position: where to go on from: of this store, good in any process. Opaque, one word of
            ASCII.
        runs: those that were admitted, that have new records or that were left a command,
            ascending.
        statuses: some run's status is another, which its journal may not tell: `heads` tells.
        lost: it cannot be said what is new, so read everything again: the position is none of this
            store's, or too much is new.
    """

    position: str
    runs: list[int]
    statuses: bool = False
    lost: bool = False


class Settled(NamedTuple):
    """How many calls of a job were settled, by what a piece of the store's journal tells.

    Attributes:
        minutes: (minute, returned, raised) of each minute since the epoch in which something was
            recorded for the job, ascending.
        first: position before the piece: 0 where nothing is older.
        last: position of its newest record; 0 where there is none.
    """

    minutes: list[tuple[int, int, int]]
    first: int
    last: int


# The fields that hold encoded values of any size, written or read: large ones are kept compressed.
PAYLOAD_FIELDS: dict[type, tuple[str, ...]] = {
    RunRow: ("value", "error"), Record: ("payload",), StatusRow: ("error",), MemoryRow: ("data",),
    OutputRow: ("value",), StoredOutput: ("value",),
    CommandRow: ("payload",), Command: ("payload",),
}  # fmt: skip
