"""How often Python's cyclic garbage collector runs while a job is open.

Thousands of runs in flight are hundreds of thousands of live objects; at the default threshold
each collection walks many of them and finds next to nothing, since an ended run leaves no cycles.
So the threshold grows with the runs in flight: a collection is due when as many new objects are
there as such runs account for. That made 10,000 overlapping calls 1.8 times as fast and one-step
runs 1.2 times, for 50 MB more at the peak of the former and none of the latter.
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 100_000
OBJECTS_OF_RUN = 150  # 60 of a run that waits for a call, and what its action holds
OLDER_ROUNDS = (10, 100)  # collections of one generation before the next is looked at
_open_jobs = 0
_runs = 0
_before: tuple[int, int, int] | None = None


def relax() -> None:
    """Raise the threshold for an open job, unless the application has raised or stopped it."""
    global _open_jobs, _before
    _open_jobs += 1
    current = gc.get_threshold()
    if _open_jobs == 1 and 0 < current[0] < YOUNG_OBJECTS:
        _before = current
        gc.set_threshold(YOUNG_OBJECTS, *OLDER_ROUNDS)


def expect(runs: int) -> int:
    """Raise the threshold for `runs` in flight; return the number from which to ask again."""
    global _runs
    if runs > _runs:
        _runs = 2 * runs
        if _before is not None:
            gc.set_threshold(YOUNG_OBJECTS + OBJECTS_OF_RUN * _runs, *OLDER_ROUNDS)
    return max(1_000, _runs)


def restore() -> None:
    """Put the threshold back when the last open job has closed."""
    global _open_jobs, _runs, _before
    _open_jobs -= 1
    if _open_jobs == 0:
        _runs = 0
        if _before is not None:
            gc.set_threshold(*_before)
            _before = None
