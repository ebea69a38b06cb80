"""Numbers: what the runs, the places and the keys of a job are numbered by."""

from __future__ import annotations

from perdure.store.base import JobInfo


class Numbers:
    """Counts on from the last numbers that the store knows.

    A number given is used up, whether its row becomes durable or not. The one place that counts:
    where the keys of a job are spread over several processes, each part of them has its own.

    Owned state: the last numbers given. On the host loop.
    """

    __slots__ = ("_last_key", "_last_run")

    def __init__(self, last_run: int, last_key: int) -> None:
        self._last_run = last_run
        self._last_key = last_key

    @classmethod
    def of_job(cls, info: JobInfo) -> Numbers:
        """Return the numbers of a whole job, from what its store says."""
        return cls(info.last_run, info.last_key)

    def next_run(self) -> int:
        """Return the next number for a run or a place in a queue, which share one order."""
        self._last_run += 1
        return self._last_run

    def next_key(self) -> int:
        """Return the next number for a key."""
        self._last_key += 1
        return self._last_key
