"""Rows for tests of stores, with every field set."""

from __future__ import annotations

from perdure.journal.record import Record, RecordKind
from perdure.run import STATUS_NUMBERS, RunStatus
from perdure.store.base import (
    InputRow,
    JobInfo,
    KeyRow,
    MemoryRow,
    OutputRow,
    Row,
    RunRow,
    StatusRow,
    StoredOutput,
)

__all__ = ["CANCELLED", "COMPLETED", "FAILED", "QUEUED", "WAITING", "SampleRows"]

QUEUED = STATUS_NUMBERS[RunStatus.QUEUED]
WAITING = STATUS_NUMBERS[RunStatus.WAITING]
COMPLETED = STATUS_NUMBERS[RunStatus.COMPLETED]
FAILED = STATUS_NUMBERS[RunStatus.FAILED]
CANCELLED = STATUS_NUMBERS[RunStatus.CANCELLED]


class SampleRows:
    """Makes rows of one job, numbered on from what the job has.

    Args:
        info: what opening the job returned.
    """

    def __init__(self, info: JobInfo) -> None:
        self.job = info.job
        self._first_run = info.last_run
        self._first_key = info.last_key

    def run_number(self, n: int) -> int:
        """Return the number of the `n`-th new run, from 1."""
        return self._first_run + n

    def key_number(self, n: int) -> int:
        """Return the number of the `n`-th new key, from 1."""
        return self._first_key + n

    def large(self, n: int) -> bytes:
        """Return an encoded value that stores may keep compressed; the `n`-th is a long one."""
        text = " ".join(f"word {each} of the value {n}" for each in range(100 * n))
        return b"\x01\xda" + len(text).to_bytes(2, "big") + text.encode()

    def key(self, n: int, *, sequence: int = 1) -> KeyRow:
        """Return the row of the `n`-th new key."""
        value = f"key-{n}".encode()
        return KeyRow(
            key=self.key_number(n), job=self.job, digest=b"digest-of-" + value, value=value,
            sequence=sequence,
        )  # fmt: skip

    def run(
        self, n: int, *, key: int = 1, place: int | None = None, status: int = QUEUED
    ) -> RunRow:
        """Return the row of the `n`-th new run; `place` counts like `n`."""
        return RunRow(
            run=self.run_number(n), job=self.job, key=self.key_number(key), sequence=n,
            label=f"input {n}", value=b"\x00value\xff", status=status,
            place=self.run_number(place or n), attempt=0, error=None, admitted_at=1_700_000_000,
            finished_at=0,
        )  # fmt: skip

    def status(self, n: int, status: int, *, error: bytes | None = None) -> StatusRow:
        """Return a change of the status of the `n`-th new run."""
        return StatusRow(
            status=status, place=self.run_number(n), attempt=2, error=error, finished_at=7,
            run=self.run_number(n),
        )  # fmt: skip

    def record(self, n: int, number: int, *, kind: int = RecordKind.RESULT) -> Record:
        """Return a record of the `n`-th new run with every field set."""
        return Record(
            run=self.run_number(n), event=3, action="act", n=number, kind=kind, call=number,
            function="module:function", digest=b"\x00\x01", detail="1, a='ä'", payload=b"\xff\x00",
            started_at=11, at=12, waited=(1 << 62) + 5,
        )  # fmt: skip

    def end(self, n: int, number: int, *, payload: bytes = b"\x96\x90") -> list[Row]:
        """Return how the `n`-th new run completes, in one commit, with its `number`-th output."""
        status = self.status(n, COMPLETED)
        completed = Record.completion_of(status.run, 3, "act", 5, payload, status.finished_at)
        return [completed, self.output(n, number), status]

    def output(self, n: int, number: int) -> OutputRow:
        """Return an output of the `n`-th new run."""
        run = self.run_number(n)
        return OutputRow(run=run, number=number, id=f"id-{n}-{number}", value=b"out", delivered=0)

    def input(self, id: str | int, n: int, *, source: str = "") -> InputRow:
        """Return that input `id` became the `n`-th new run."""
        digest = f"digest {id!r}".encode()
        return InputRow(job=self.job, source=source, id=id, run=self.run_number(n), digest=digest)

    def memory(self, key: int, path: str, data: bytes | None) -> MemoryRow:
        """Return one path of the memory of the `key`-th new key."""
        return MemoryRow(key=self.key_number(key), path=path, data=data, written_at=5)

    def stored(self, row: OutputRow, *, key: int = 1, delivered: int = 0) -> StoredOutput:
        """Return `row` as reading it must give it."""
        value = self.key(key).value
        return StoredOutput(row.run, row.number, row.id, row.value, value, delivered)
