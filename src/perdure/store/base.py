"""ActionStateStore and StoreView: the two narrow seams to what keeps the journal.

The first is for the owner of a job. Its main verb commits a batch of rows in one transaction;
everything else reads. It belongs to one job while it is open; numbers of runs and keys are given by
the owner of the job. The second is for whoever looks from outside, in any process.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

from perdure.errors import StoreError
from perdure.journal.record import Record, StoredPayload
from perdure.store.documents import DocumentReader, DocumentRow
from perdure.store.files import BadLineRow, FileRow
from perdure.store.row_types import (
    NUMBER_BITS,
    PAYLOAD_FIELDS,
    ROW_ORDER,
    Changes,
    CollectionInfo,
    Command,
    CommandDoneRow,
    CommandRow,
    DeliveredRow,
    InputRow,
    JobAgent,
    JobInfo,
    JobRow,
    KeyRow,
    KeyState,
    LifeRow,
    MemoryRow,
    OutputRow,
    Page,
    Row,
    RunHead,
    RunRow,
    Settled,
    ShardInfo,
    SinkRow,
    StatusRow,
    StoredOutput,
    WaitRow,
)

__all__ = [
    "NUMBER_BITS",
    "PAYLOAD_FIELDS",
    "ROW_ORDER",
    "ActionStateStore",
    "Changes",
    "CollectionInfo",
    "Command",
    "CommandDoneRow",
    "CommandRow",
    "DeliveredRow",
    "InputRow",
    "JobAgent",
    "JobInfo",
    "JobRow",
    "KeyRow",
    "KeyState",
    "LifeRow",
    "MemoryRow",
    "OutputRow",
    "Page",
    "Row",
    "RunHead",
    "RunRow",
    "Settled",
    "ShardInfo",
    "SinkRow",
    "StatusRow",
    "StoreView",
    "StoredOutput",
    "WaitRow",
]


class ActionStateStore(abc.ABC):
    """Keeps the journal of jobs.

    Every method is called on one event loop. `commit` takes batches in the order of its calls, one
    transaction each. Errors are `StoreError`, or `StoreDataError` where a row itself is refused.

    Attributes:
        url: the store, as messages name it.
        takes_late: `commit` looks at its rows when it begins to write them, and not before where
            another commit is under way; it says so of a `Batch` that is written (`is_written`). So
            it is asked for the next commit while it writes one.
        takes_commands: others can leave signals and commands in it.
        names_by_input: what a run makes is named by the id of its input, where it has one, since a
            sequence of runs may be given anew. Never another for journals that there are.
    """

    url: str
    takes_late = False
    takes_commands = True
    names_by_input = False

    @abc.abstractmethod
    async def open(
        self, job: str, agent: JobAgent | None = None, *, fresh: bool = False
    ) -> JobInfo:
        """Open the store and take ownership of `job`, which is made where it is new.

        Args:
            job: its name.
            agent: whose it is from now on; a source that nobody knows leaves the one known.
            fresh: begin another generation of the job, unless the present one has had no runs.

        Raises:
            StoreLockedError: another process owns the job.
            StoreFormatError: the store is newer, damaged or not one of ours.
            StoreError: `fresh`, and the present generation has unfinished runs.
            ConfigurationError: the name is that of a generation, which is only looked at.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Finish what was begun, give the job back and close; closing again does nothing."""

    def close_now(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do so, as far as is possible, for a job that was open on a loop which runs no more.

        Blocks, for a bounded time. Where nothing was left open there it does nothing.
        """

    @abc.abstractmethod
    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Write `rows` in one transaction; the future is done when they are durable.

        Raises (through the future):
            StoreDataError: a row was refused; nothing was written.
            StoreError: it failed, or nobody knows whether it did; one that is `undone` has written
                nothing, so that the same rows may be committed again, but for one that `is_final`.
        """

    async def probe(self, size: int) -> None:
        """Find out whether a store that failed writes again, as good as by a commit; keep nothing.

        Args:
            size: bytes that it has to have room for.

        Raises:
            StoreError: it does not.
        """
        await self.commit([])

    @abc.abstractmethod
    async def keys(self, digests: Collection[bytes]) -> dict[bytes, KeyState]:
        """Return the keys of the job that exist, with their memory, by digest."""

    @abc.abstractmethod
    async def keys_of(self, runs: Collection[int]) -> dict[int, KeyState]:
        """Return the keys that these runs have, by key number."""

    @abc.abstractmethod
    async def inputs(
        self, source: str, ids: Collection[str | int]
    ) -> dict[str | int, tuple[int, bytes]]:
        """Return (run, digest) of the inputs already admitted, by id or position."""

    @abc.abstractmethod
    async def unfinished(self, after: int = 0, limit: int | None = None) -> list[RunRow]:
        """Return the job's unfinished runs behind the place `after`, by place; `limit` at most."""

    async def unfinished_of(
        self, shard: int, after: int = 0, limit: int | None = None
    ) -> list[RunRow]:
        """Return what `unfinished` does, of one shard: of all there are where it is the only one.

        Args:
            shard: its number.
            after: a place.
            limit: how many at most.
        """
        return await self.unfinished(after, limit)

    async def inputs_of(self, runs: Collection[int]) -> dict[int, tuple[str, str | int]]:
        """Return source and id of the inputs of these runs, where `names_by_input`."""
        return {}

    @abc.abstractmethod
    async def queued(self, key: int, first: int, last: int, limit: int) -> list[RunRow]:
        """Return unfinished runs of a key between two places, by place, but for delayed ones."""

    @abc.abstractmethod
    async def runs(self, numbers: Collection[int]) -> dict[int, RunRow]:
        """Return these runs."""

    @abc.abstractmethod
    async def records(self, runs: Collection[int]) -> dict[int, list[Record]]:
        """Return the records of these runs in commit order; a run without records is left out.

        Outcomes of calls over 64 kB may be left in the store: `payload` reads them.
        """

    @abc.abstractmethod
    async def payload(self, left: StoredPayload) -> bytes:
        """Return a payload that `records` has left in the store."""

    @abc.abstractmethod
    async def outputs(self, runs: Collection[int]) -> list[StoredOutput]:
        """Return the outputs of these runs in commit order."""

    async def waits_of(self, runs: Collection[int]) -> list[WaitRow] | None:
        """Return the open waits that it has of these runs; None where it cannot say."""
        return None

    @abc.abstractmethod
    async def undelivered(self) -> list[StoredOutput]:
        """Return the job's outputs that no sink has, in commit order."""

    @abc.abstractmethod
    async def sink(self, name: str) -> SinkRow | None:
        """Return how far the sink has come."""

    @abc.abstractmethod
    async def commands(self) -> list[Command] | None:
        """Return the open commands, or None when nothing was written from outside since."""

    @abc.abstractmethod
    async def file(self, kind: str, name: str) -> FileRow | None:
        """Return which file a source or sink of the job is, if that is known."""

    @abc.abstractmethod
    async def bad_positions(self, source: str) -> list[int]:
        """Return the positions of the inputs that a source of the job passed over."""

    def paths(self, job: str) -> tuple[Path, ...]:
        """Return the files that this store keeps a job in, its lock included; () without files."""
        return ()

    @property
    def documents(self) -> DocumentReader:
        """What reads the documents of the job; StoreError where the store keeps none."""
        raise StoreError(f"{self.url} keeps no documents: use an sqlite:/// store or memory://")

    def view(self) -> StoreView:
        """Return the store as seen from outside, not yet open; this one may be open or closed.

        Raises:
            StoreError: nobody can look into this store.
        """
        raise StoreError(f"{self.url} shows nothing to the outside: use an sqlite:/// store")


class StoreView(abc.ABC):
    """A store as seen from outside its jobs, beside their owners: it reads, and leaves commands.

    Values and keys come encoded. Every list takes the cursor of the page before, "" for its first
    part, and has at most `limit` items. What is committed is seen; one call sees one state of the
    store. Lifecycle: `open` and `close`, or `async with`; on one event loop, which it never blocks.
    Errors are `StoreError`; where it is damaged a `StoreFormatError` that names table and row.

    Attributes:
        url: the store, as messages name it.
    """

    url: str

    @abc.abstractmethod
    async def open(self) -> None:
        """Open the store; makes and migrates nothing.

        Raises:
            StoreError: there is none.
            StoreFormatError: it is of another version, damaged or not one of ours.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of the store, in which nothing changes; closing again does nothing."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    @property
    @abc.abstractmethod
    def version(self) -> int:
        """The version of the store's schema."""

    @abc.abstractmethod
    async def jobs(self, *, after: str = "", limit: int = 1000) -> Page[JobRow]:
        """Return the jobs by name, each with its generations."""

    @abc.abstractmethod
    async def job(self, name: str) -> JobRow | None:
        """Return the present generation of a job by its name, or any by `JOB@N`."""

    @abc.abstractmethod
    async def is_owned(self, job: str) -> bool:
        """Say whether a live process runs the job."""

    @abc.abstractmethod
    async def counts(self, job: int) -> dict[int, int]:
        """Return the number of runs by status; those that have begun count as queued here."""

    @abc.abstractmethod
    async def count_failed(self, job: int, since: int, *, limit: int) -> int:
        """Return how many of the newest `limit` failed runs ended since a time, ns."""

    @abc.abstractmethod
    async def settled(
        self, job: int, *, after: int = 0, until: int | None = None, limit: int = 500
    ) -> Settled:
        """Return how many calls were settled in which minutes, by a piece of the store's journal.

        Whoever counts the last hour goes back from the newest piece by piece, and keeps the count.

        Args:
            job: the job's number.
            after: the piece begins behind this position.
            until: position of its newest record; None: that of the store.
            limit: records of the piece at most.
        """

    @abc.abstractmethod
    async def runs(
        self,
        job: int,
        *,
        status: int | None = None,
        key: bytes | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[RunHead]:
        """Return the runs of a job, newest first; only unfinished ones with their notes.

        Args:
            job: the job's number.
            status: only those that stand so, as their heads show it.
            key: only those of the key with this digest.
            after: see the class.
            limit: likewise.
        """

    @abc.abstractmethod
    async def heads(self, runs: Collection[int]) -> dict[int, RunHead]:
        """Return these runs, with their notes; those that are not there are left out."""

    @abc.abstractmethod
    async def runs_of_inputs(self, job: int, ids: Collection[str]) -> dict[str, int]:
        """Return the numbers of the runs whose inputs were given with these ids, by id."""

    @abc.abstractmethod
    async def records(self, run: int, *, after: int = 0, limit: int | None = None) -> list[Record]:
        """Return the journal of a run in commit order, without its first `after` records."""

    @abc.abstractmethod
    async def outputs(
        self, job: int, *, run: int | None = None, after: str = "", limit: int = 1000
    ) -> Page[StoredOutput]:
        """Return the outputs of a job, or of one run of it, in commit order."""

    @abc.abstractmethod
    async def key(self, job: int, digest: bytes) -> KeyRow | None:
        """Return a key by its digest."""

    @abc.abstractmethod
    async def memory(self, key: int, *, after: str = "", limit: int = 1000) -> Page[MemoryRow]:
        """Return the short-term memory of a key by path, as of the end of its last run."""

    @abc.abstractmethod
    async def collections(
        self, job: int, *, after: str = "", limit: int = 1000
    ) -> Page[CollectionInfo]:
        """Return the job's collections of documents by name."""

    @abc.abstractmethod
    async def documents(
        self, job: int, collection: str, *, after: str = "", limit: int = 50
    ) -> Page[DocumentRow]:
        """Return the documents of a collection, oldest first, without their embeddings."""

    @abc.abstractmethod
    async def commands(
        self, job: int, *, run: int | None = None, after: str = "", limit: int = 1000
    ) -> Page[Command]:
        """Return what the inbox holds for a job, or one run of it, in order."""

    @abc.abstractmethod
    async def waits(self, job: int, *, after: str = "", limit: int = 1000) -> Page[WaitRow]:
        """Return the open waits of a job's unfinished runs, by run."""

    @abc.abstractmethod
    async def waits_of(self, runs: Collection[int]) -> list[WaitRow]:
        """Return the open waits of these runs, by run; of finished ones none."""

    @abc.abstractmethod
    async def lives(self, job: int, *, after: str = "", limit: int = 1000) -> Page[LifeRow]:
        """Return the processes that had a job, in the order in which they took it."""

    @abc.abstractmethod
    async def sink_files(self, job: int) -> list[FileRow]:
        """Return the files that have outputs of the job, by the names of their sinks."""

    @abc.abstractmethod
    async def bad_lines(self, job: int, *, after: str = "", limit: int = 1000) -> Page[BadLineRow]:
        """Return the inputs that the job's sources passed over, by source and position."""

    @abc.abstractmethod
    async def count_bad_lines(self, job: int) -> int:
        """Return their number."""

    @abc.abstractmethod
    async def leave_commands(self, commands: Sequence[CommandRow]) -> None:
        """Leave commands in the inbox, all or none; durable when this returns."""

    async def leave_answer(self, answer: CommandRow, *, records: int, command: int) -> bool:
        """Leave a signal in the inbox unless others came for its run; False where any did.

        Durable when this returns. A store that cannot tell in one step leaves it.

        Args:
            answer: the signal.
            records: how many records of the run were known when it was judged.
            command: number of the newest command for the run that was known; 0 without.
        """
        await self.leave_commands([answer])
        return True

    @abc.abstractmethod
    async def changes(self, job: int, since: str = "", *, limit: int = 1000) -> Changes:
        """Return what is new since a position, or where the job is now; costs little when idle.

        A live view asks for the position, reads what it shows, and asks on from there: it misses
        nothing, and may hear of what it has read. The position is an offset in the journal, so it
        outlives a lost connection and the process that gave it.

        Args:
            job: the job's number.
            since: a position that this gave; "" for the one of now, without anything new.
            limit: runs named at most; where more are new, the position is lost.
        """
