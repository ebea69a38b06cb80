"""A read-only view of a store: runs, and what each of them did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from perdure.errors import PerdureError
from perdure.journal.codec import Codec
from perdure.journal.digests import digests
from perdure.journal.failure import failure_summary
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunInfo, RunStatus, run_id, run_number
from perdure.run_detail import RunDetail, build, children_of
from perdure.store.base import RunRow
from perdure.store.reader import FINAL_STATUS, JobRow, StoreReader
from perdure.store.sqlite_file import MIGRATIONS
from perdure.store.url import open_reader

__all__ = [
    "ALL",
    "SCHEMA_VERSION",
    "History",
    "JobRow",
]

SCHEMA_VERSION = len(MIGRATIONS)  # of every store that can be read
ALL = 1_000_000  # runs of one listing at most
QUEUED = STATUS_NUMBERS[RunStatus.QUEUED]


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
        """Return the number of runs: completed, failed, cancelled, unfinished.

        "waiting" is how many of the unfinished ones wait for time or a signal.
        """
        counts = {"completed": 0, "failed": 0, "cancelled": 0, "unfinished": 0, "waiting": 0}
        for number, count in self.reader.count_runs(job.job).items():
            status = STATUS_BY_NUMBER[number]
            counts[status.value if status.is_final else "unfinished"] += count
            if status is RunStatus.WAITING:
                counts["waiting"] += count
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
            return self._runs_of_key(job, status, key, limit)
        if status is RunStatus.QUEUED:
            return list(self._infos(self.reader.list_queued(job.job, limit=limit)))
        if status is RunStatus.RUNNING:
            return list(self._infos(self.reader.list_running(job.job, limit=limit)))
        number = STATUS_NUMBERS[status] if status else None
        return list(self._infos(self.reader.list_runs(job.job, status=number, limit=limit)))

    def _runs_of_key(
        self, job: JobRow, status: RunStatus | None, key: Any, limit: int
    ) -> list[RunInfo]:
        found = next(filter(None, (self.reader.key(job.job, each) for each in digests(key))), None)
        if found is None:
            return []
        if status is None:
            return list(self._infos(self.reader.list_runs_of_key(found.key, limit=limit)))
        stored = {STATUS_NUMBERS[status]}
        if status is RunStatus.RUNNING:
            stored.add(STATUS_NUMBERS[RunStatus.QUEUED])  # stored so until it has waited
        rows = self.reader.list_runs_of_key(found.key, limit=ALL)
        infos = self._infos(row for row in rows if row.status in stored)
        return [info for info in infos if info.status is status][:limit]

    def run(self, job: JobRow, id_: str) -> RunInfo:
        """Return one run.

        Raises:
            PerdureError: there is none with this id.
        """
        number = run_number(job.job, id_)
        row = self.reader.runs([number]).get(number)
        if row is None:
            raise PerdureError(f"job {job.name!r} has no run {id_!r}: `perdure runs` lists them")
        return next(self._infos([row], notes_of_all=True))

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
        children = self.infos([run_number(job.job, child) for child in children_of(records)])
        return build(
            info,
            records,
            self.reader.outputs([info.number]),
            self.codec,
            children={child.id: child for child in children.values()},
            commands=self.reader.commands(job.job, info.number),
        )

    def _infos(self, rows: Iterable[RunRow], *, notes_of_all: bool = False) -> Iterator[RunInfo]:
        rows = list(rows)
        keys = self.reader.keys(sorted({row.key for row in rows}))
        begun = self.reader.begun([row.run for row in rows if row.status == QUEUED])
        noted = [row.run for row in rows if notes_of_all or row.status < FINAL_STATUS]
        notes = self.reader.notes(noted)
        for row in rows:
            status = RunStatus.RUNNING if row.run in begun else STATUS_BY_NUMBER[row.status]
            note = notes.get(row.run)
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
                due=row.due,
                # When it joins its key's queue it gets a new place there.
                is_delayed=status is RunStatus.WAITING and row.due > 0 and row.place == row.run,
                activity=self.codec.to_json(note) if note is not None else None,
            )
