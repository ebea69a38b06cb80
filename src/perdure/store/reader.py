"""StoreReader: looks into a store beside its owner, and leaves commands for it. Synchronous."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, NamedTuple

from perdure.errors import StoreError
from perdure.journal.record import Record
from perdure.store.base import NUMBER_BITS, CommandRow, KeyRow, MemoryRow, RunRow, StoredOutput
from perdure.store.files import BadLineRow
from perdure.store.ownership import is_owned
from perdure.store.sqlite import read_outputs
from perdure.store.sqlite_file import READ, select_many
from perdure.store.sqlite_write import WRITE

FINAL_STATUS = 4  # this status and above are final


class JobRow(NamedTuple):
    """A job of the store."""

    job: int
    name: str
    created_at: int


class StoreReader:
    """A store as seen from outside its jobs.

    Owns: a connection of its own (of `memory://`, the store's). Lifecycle: `close`, or use `with`.
    """

    def __init__(self, connection: sqlite3.Connection | None, path: Path | None) -> None:
        self._connection = connection
        self._path = path

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; nothing of the store changes."""
        if self._path is not None and self._connection is not None:
            self._connection.close()

    def jobs(self) -> list[JobRow]:
        """Return all jobs by name."""
        return [JobRow(*row) for row in self._read("jobs")]

    def job(self, name: str) -> JobRow | None:
        """Return one job by name."""
        return next((job for job in self.jobs() if job.name == name), None)

    def is_owned(self, job: str) -> bool:
        """Say whether a live process runs the job."""
        return self._path is not None and is_owned(self._path, job)

    def count_runs(self, job: int) -> dict[int, int]:
        """Return the number of runs by status number."""
        return dict(self._read("count_runs", *_bounds(job)))

    def list_runs(self, job: int, *, status: int | None = None, limit: int = 50) -> list[RunRow]:
        """Return the newest runs of a job, newest first."""
        if status is None or status == FINAL_STATUS:
            rows = self._read("list_runs", *_bounds(job), -1 if status else limit)
            chosen = (row for row in rows if status is None or row[6] == status)
            return [RunRow(*row) for row, _ in zip(chosen, range(limit), strict=False)]
        name = "list_runs_unfinished" if status < FINAL_STATUS else "list_runs_unsuccessful"
        return [RunRow(*row) for row in self._read(name, job, status, limit)]

    def list_queued(self, job: int, *, limit: int) -> list[RunRow]:
        """Return the newest runs of a job that have not begun, newest first."""
        return [RunRow(*row) for row in self._read("list_runs_queued", job, limit)]

    def list_running(self, job: int, *, limit: int) -> list[RunRow]:
        """Return the newest runs of a job that have begun and do not wait, newest first."""
        return [RunRow(*row) for row in self._read("list_runs_running", job, limit)]

    def list_runs_of_key(self, key: int, *, limit: int = 50) -> list[RunRow]:
        """Return the newest runs of a key, newest first."""
        return [RunRow(*row) for row in self._read("list_runs_of_key", key, limit)]

    def runs(self, numbers: list[int]) -> dict[int, RunRow]:
        """Return these runs, by number."""
        return {row[0]: RunRow(*row) for row in self._many("runs", numbers)}

    def begun(self, runs: list[int]) -> set[int]:
        """Return those of these runs that have begun, since they were last put back."""
        return {row[0] for row in self._many("begun", runs)}

    def notes(self, runs: list[int]) -> dict[int, bytes]:
        """Return what these runs last said that they do, encoded; only those that said it."""
        return {run: data for run, data in self._many("notes", runs) if data is not None}

    def keys(self, numbers: list[int]) -> dict[int, KeyRow]:
        """Return these keys, by number."""
        return {row[0]: KeyRow(*row) for row in self._many("keys", numbers)}

    def key(self, job: int, digest: bytes) -> KeyRow | None:
        """Return the key with this digest."""
        rows = self._many("keys_by_digest", [digest], job)
        return KeyRow(*rows[0]) if rows else None

    def memory(self, key: int) -> list[MemoryRow]:
        """Return the short-term memory of a key, as of the end of its last run."""
        return [MemoryRow(*row) for row in self._many("memory", [key])]

    def records(self, runs: list[int]) -> list[Record]:
        """Return the journal of these runs in commit order."""
        return [Record(*row) for row in self._many("records", runs)]

    def outputs(self, runs: list[int]) -> list[StoredOutput]:
        """Return the outputs of these runs in commit order."""
        return read_outputs(self._db, runs)

    def bad_lines(self, job: int, *, limit: int) -> list[BadLineRow]:
        """Return the lines that the job's sources passed over, by source and position."""
        return [BadLineRow(*row) for row in self._read("bad_lines", job, limit)]

    def count_bad_lines(self, job: int) -> int:
        """Return the number of lines that the job's sources passed over."""
        number: int = self._read("count_bad_lines", job).fetchone()[0]
        return number

    def commands(self, job: int, run: int) -> list[tuple[str, bytes | None]]:
        """Return the commands left for a run that its job has not carried out yet, in order."""
        return list(self._read("commands_of_run", job, run))

    def leave_command(self, job: int, run: int, command: str, payload: bytes | None = None) -> None:
        """Leave a command for the owner of the job; durable when this returns."""
        row = CommandRow(job=job, run=run, command=command, payload=payload, at=time.time_ns())
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(WRITE["CommandRow"], row)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("nothing has run in this memory:// store yet")
        return self._connection

    def _read(self, name: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(READ[name], values)

    def _many(self, name: str, values: list[Any], *before: Any) -> list[Any]:
        return select_many(self._db, name, values, *before)


def _bounds(job: int) -> tuple[int, int]:
    first = job << NUMBER_BITS
    return first, first + (1 << NUMBER_BITS)
