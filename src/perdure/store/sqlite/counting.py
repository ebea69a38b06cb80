"""What SqliteView counts: runs by status, failures since a time, calls by minute."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from perdure.store.base import Settled
from perdure.store.damage import damaged
from perdure.store.sqlite.rows import FINAL, STATUSES

__all__ = ["RunCounts", "settled"]

_NEWEST = 2**63 - 1


class RunCounts:
    """Counts runs without looking at those that it has counted before. On the view's thread."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}  # by job: runs, and the last of them

    def by_status(
        self, db: sqlite3.Connection, where: object, sql: Mapping[str, str], bounds: dict[str, Any]
    ) -> dict[int, int]:
        """Return the number of runs by status; see `StoreView.counts`."""
        found = dict(db.execute(sql["count_unfinished"], bounds))
        found |= dict(db.execute(sql["count_unsuccessful"], bounds))
        for status in found:
            if type(status) is not int or status not in STATUSES:
                raise damaged(where, "table run", f"a status is {status!r:.60}")
        if completed := self._all(db, sql, bounds) - sum(found.values()):
            found[FINAL] = completed
        return found

    def _all(self, db: sqlite3.Connection, sql: Mapping[str, str], bounds: dict[str, Any]) -> int:
        count, last = self._known.get(bounds["job"], (0, bounds["first"] - 1))
        more, newest = db.execute(sql["count_runs"], {**bounds, "counted": last}).fetchone()
        if more:
            self._known[bounds["job"]] = (count + more, newest)
        return int(count + more)


def settled(
    db: sqlite3.Connection,
    sql: Mapping[str, str],
    bounds: dict[str, Any],
    after: int,
    until: int | None,
    limit: int,
) -> Settled:
    """Return what a piece of the journal tells; see `StoreView.settled`."""
    values = {"until": _NEWEST if until is None else until}
    (last,) = db.execute(sql["newest_record"], values).fetchone()
    first = min(max(after, last - limit, 0), last)
    rows = db.execute(sql["settled"], {**bounds, "after": first, "last": last})
    # What is no time is for those to tell who read the record.
    minutes = [(minute, *calls) for minute, *calls in rows if type(minute) is int]
    return Settled(minutes, first, last)
