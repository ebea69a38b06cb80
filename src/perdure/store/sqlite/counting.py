"""What SqliteView counts: runs by status, failures since a time, calls by minute."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from perdure.errors import StoreFormatError
from perdure.store.base import Settled
from perdure.store.damage import damaged
from perdure.store.sqlite.rows import FINAL, STATUSES, short_id

__all__ = ["RunCounts", "settled"]

_NEWEST = 2**63 - 1
_NO_STATUS = """
    SELECT run, iif(typeof(status) = 'integer', status, typeof(status)) FROM run
    WHERE run >= :first AND run < :before
        AND (typeof(status) <> 'integer' OR status NOT BETWEEN :least AND :most)
    LIMIT 1
"""  # looked for where counting has met one


class RunCounts:
    """Counts runs without looking at those that it has counted before. On the view's thread."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}  # by job: runs, and the last of them

    def by_status(
        self, db: sqlite3.Connection, where: object, sql: Mapping[str, str], bounds: dict[str, Any]
    ) -> dict[int, int]:
        """Return the number of runs by status; see `StoreView.counts`."""
        try:
            found = dict(db.execute(sql["count_unfinished"], bounds))
            found |= dict(db.execute(sql["count_unsuccessful"], bounds))
        except (sqlite3.OperationalError, UnicodeDecodeError) as error:
            if "decode to UTF-8" in str(error):
                raise _damaged(db, where, bounds) from error
            raise
        if any(type(status) is not int or status not in STATUSES for status in found):
            raise _damaged(db, where, bounds)
        if completed := self._all(db, sql, bounds) - sum(found.values()):
            found[FINAL] = completed
        return found

    def _all(self, db: sqlite3.Connection, sql: Mapping[str, str], bounds: dict[str, Any]) -> int:
        count, last = self._known.get(bounds["job"], (0, bounds["first"] - 1))
        more, newest = db.execute(sql["count_runs"], {**bounds, "counted": last}).fetchone()
        if more:
            self._known[bounds["job"]] = (count + more, newest)
        return int(count + more)


def _damaged(db: sqlite3.Connection, where: object, bounds: dict[str, Any]) -> StoreFormatError:
    """Return the error that names the first run whose status is none."""
    known = {**bounds, "least": STATUSES.start, "most": STATUSES.stop - 1}
    found = db.execute(_NO_STATUS, known).fetchone()
    if found is None:  # an index is damaged, and its table is not
        return damaged(where, "table run, an index of it", "it has a status that is none")
    run, status = found
    return damaged(where, f"table run, run {short_id(run)}", f"status is {status}")


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
