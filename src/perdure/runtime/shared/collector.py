"""How often Python's cyclic garbage collector runs while a job is open.

Thousands of runs in flight are hundreds of thousands of live objects; at the default threshold
each collection walks many of them and finds next to nothing, since an ended run leaves no cycles.
So the threshold grows with the runs in flight: a collection is due when as many new objects are
there as such runs account for. That made 10,000 overlapping calls 1.8 times as fast and one-step
runs 1.2 times, for 50 MB more at the peak of the former and none of the latter.
"""

from __future__ import annotations

import gc
import threading

YOUNG_OBJECTS = 100_000
OBJECTS_OF_RUN = 150  # 60 of a run that waits for a call, and what its action holds
OLDER_ROUNDS = (10, 100)  # collections of one generation before the next is looked at
FEW_RUNS = 1_000  # in flight, that the lowest threshold is meant for


class _Process:
    """The settings, which are the whole process's: its jobs may be open on several threads."""

    lock = threading.Lock()
    open_jobs = 0
    runs = 0
    before: tuple[int, int, int] | None = None


class Collector:
    """One job's say in the settings of the process's collector.

    Lifecycle: `relax` when the job opens, `restore` when it closes. What the application has raised
    or stopped stays as it is.

    Args:
        tuned: False leaves the collector alone.
    """

    def __init__(self, *, tuned: bool = True) -> None:
        self._tuned = tuned
        self._relaxed = False
        self._expected = FEW_RUNS

    def relax(self) -> None:
        """Raise the threshold for an open job."""
        if not self._tuned:
            return
        self._relaxed = True
        with _Process.lock:
            _Process.open_jobs += 1
            current = gc.get_threshold()
            if _Process.open_jobs == 1 and 0 < current[0] < YOUNG_OBJECTS:
                _Process.before = current
                gc.set_threshold(YOUNG_OBJECTS, *OLDER_ROUNDS)

    def expect(self, runs: int) -> None:
        """Raise the threshold further where the job has more runs in flight than ever before."""
        if runs <= self._expected or not self._relaxed:
            return
        with _Process.lock:
            if runs > _Process.runs:
                _Process.runs = 2 * runs
                if _Process.before is not None:
                    objects = YOUNG_OBJECTS + OBJECTS_OF_RUN * _Process.runs
                    gc.set_threshold(objects, *OLDER_ROUNDS)
            self._expected = _Process.runs

    def restore(self) -> None:
        """Put the threshold back when the last open job has closed."""
        if not self._relaxed:
            return
        self._relaxed = False
        with _Process.lock:
            _Process.open_jobs -= 1
            if _Process.open_jobs == 0:
                _Process.runs = 0
                if _Process.before is not None:
                    gc.set_threshold(*_Process.before)
                    _Process.before = None
