"""A read-only view of a store: runs, and what each of them did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from perdure.errors import PerdureError
from perdure.journal.codec import Codec, digest
from perdure.journal.failure import failure_summary
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunInfo, RunStatus, run_id
from perdure.run import run_number as number_of
from perdure.run_detail import RunDetail, build
from perdure.store.base import RunRow
from perdure.store.reader import JobRow, StoreReader
from perdure.store.sqlite_file import MIGRATIONS
from perdure.store.url import open_reader

__all__ = [
    "ALL",
    "SCHEMA_VERSION",
    "History",
    "JobRow",
    "run_number",
]

SCHEMA_VERSION = len(MIGRATIONS)  # of every store that can be read
ALL = 1_000_000  # runs of one listing at most


def run_number(job: int, id_: str) -> int:
    """Return the number of the run with a short id.

    Raises:
        PerdureError: it is no run id.
    """
    try:
        return number_of(job, id_)
    except ValueError:
        raise PerdureError(f"{id_!r} is no run id (such as r1f): see `perdure runs`") from None


class History:
    """Reads a store. Values are shown in readable form; no type is rebuilt and nothing is run."""

    def __init__(self, reader: StoreReader) -> None:
        self.reader = reader
        self.codec = Codec()

    @classmethod
    def open(cls, url: str) -> History:
        """Open the store that `url` names, beside its owner if there is one; use with `with`.

        Raises:
            ConfigurationError: it names no store that another process could have written.
            StoreError: there is none, or it cannot be read.
        """
        return cls(open_reader(url))

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_error: object) -> None:
        self.reader.close()

    def jobs(self) -> list[JobRow]:
        """Return all jobs of the store by name."""
        return self.reader.jobs()

    def is_owned(self, job: JobRow) -> bool:
        """Say whether a live process runs the job now."""
        return self.reader.is_owned(job.name)

    def choose_job(self, name: str | None) -> JobRow:
        """Return the job with this name; without a name, the only one there is.

        Raises:
            PerdureError: there is none, or there are several to choose from.
        """
        if name is not None:
            return self.job(name)
        jobs = self.jobs()
        if len(jobs) == 1:
            return jobs[0]
        if not jobs:
            raise PerdureError("the store has no jobs yet: `perdure run` makes one")
        known = ", ".join(repr(job.name) for job in jobs)
        raise PerdureError(f"the store has {len(jobs)} jobs: choose one with --job, of {known}")

    def counts(self, job: JobRow) -> dict[str, int]:
        """Return the number of runs: completed, failed, cancelled, unfinished."""
        counts = {"completed": 0, "failed": 0, "cancelled": 0, "unfinished": 0}
        for number, count in self.reader.count_runs(job.job).items():
            status = STATUS_BY_NUMBER[number]
            counts[status.value if status.is_final else "unfinished"] += count
        return counts

    def job(self, name: str) -> JobRow:
        """Return a job by name.

        Raises:
            PerdureError: the store does not have it.
        """
        job = self.reader.job(name)
        if job is None:
            known = ", ".join(repr(job.name) for job in self.reader.jobs()) or "none"
            raise PerdureError(f"the store has no job {name!r}; it has {known} (see --job)")
        return job

    def runs(
        self,
        job: JobRow,
        *,
        status: RunStatus | None = None,
        key: Any = None,
        limit: int = 50,
    ) -> list[RunInfo]:
        """Return the newest runs, newest first."""
        if key is not None:
            row = self.reader.key(job.job, digest(key))
            rows = self.reader.list_runs_of_key(row.key, limit=limit) if row else []
            return [info for info in self._infos(rows) if status in (None, info.status)]
        if status is RunStatus.RUNNING or status is RunStatus.QUEUED:
            # Stored alike: a run is running once its journal has begun.
            rows = self.reader.list_runs(job.job, status=1, limit=ALL)
            infos = [info for info in self._infos(rows) if info.status is status]
            return infos[:limit]
        number = STATUS_NUMBERS[status] if status else None
        return list(self._infos(self.reader.list_runs(job.job, status=number, limit=limit)))

    def run(self, job: JobRow, id_: str) -> RunInfo:
        """Return one run.

        Raises:
            PerdureError: there is none with this id.
        """
        number = run_number(job.job, id_)
        row = self.reader.runs([number]).get(number)
        if row is None:
            raise PerdureError(f"job {job.name!r} has no run {id_!r}: `perdure runs` lists them")
        return next(self._infos([row]))

    def infos(self, numbers: list[int]) -> dict[int, RunInfo]:
        """Return these runs, by number."""
        return {info.number: info for info in self._infos(self.reader.runs(numbers).values())}

    def detail(self, job: JobRow, id_: str) -> RunDetail:
        """Return what a run did.

        Raises:
            PerdureError: there is none with this id.
        """
        info = self.run(job, id_)
        records = self.reader.records([info.number])
        return build(info, records, self.reader.outputs([info.number]), self.codec)

    def _infos(self, rows: Iterable[RunRow]) -> Iterator[RunInfo]:
        rows = list(rows)
        keys = self.reader.keys(sorted({row.key for row in rows}))
        open_runs = [row.run for row in rows if row.status == 1]
        begun = {record.run for record in self.reader.records(open_runs)}
        for row in rows:
            status = RunStatus.RUNNING if row.run in begun else STATUS_BY_NUMBER[row.status]
            yield RunInfo(
                id=run_id(row.run),
                number=row.run,
                key=self.codec.to_json(keys[row.key].value),
                sequence=row.sequence,
                label=row.label,
                status=status,
                attempts=row.attempt,
                error=failure_summary(self.codec, row.error) if row.error else None,
                input=self.codec.to_json(row.value),
                admitted_at=row.admitted_at,
                finished_at=row.finished_at,
            )
