"""Taking a job of an SQLite store: it is made where it is new, and looked at where it is not."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

from perdure.store.base import NUMBER_BITS, JobAgent, JobInfo
from perdure.store.damage import damaged
from perdure.store.files import AGENT, FileRow
from perdure.store.sqlite import rows as kinds
from perdure.store.sqlite.file import READ
from perdure.store.sqlite.rows import short_id
from perdure.store.sqlite.write import write_rows


def take_job(db: sqlite3.Connection, where: object, name: str, agent: JobAgent | None) -> JobInfo:
    """Return what the owner of a job starts from, making the job where it is new.

    Args:
        db: the store, in no transaction; the job's lock is held.
        where: the store, for messages.
        name: the job's name.
        agent: whose it is from now on.

    Raises:
        StoreFormatError: the store is damaged.
    """
    row = db.execute(READ["job"], (name,)).fetchone()
    before = None if row is None else _agent(db, where, row[0])
    if row is None:
        with _transaction(db):
            db.execute(READ["make_job"], (name, time.time_ns()))
            row = db.execute(READ["job"], (name,)).fetchone()
            _keep_agent(db, row[0], None, agent)
    job: int = row[0]
    if not 0 < job < 1 << 63 - NUMBER_BITS:
        raise damaged(where, f"table job, {name!r}", f"its number is {job}")
    for (run,) in db.execute(READ["unknown_status"], (job,)):
        raise damaged(where, f"table run, run {short_id(run)}", "its status is unknown")
    first = job << NUMBER_BITS
    bounds = (first, first + (1 << NUMBER_BITS))
    with contextlib.suppress(sqlite3.OperationalError):  # a full disk: the next opening's
        db.execute(READ["forget_tombstones"], bounds)
        _keep_agent(db, job, before, agent)
    last_run = db.execute(READ["last_run"], bounds).fetchone()[0] or first
    last_place = db.execute(READ["last_place"], (job,)).fetchone()[0] or first
    if type(last_place) is not int:
        kinds.RUNS.plain(db, where, READ["unfinished"], (job, -1, -1))  # names the row
        raise damaged(where, "table run", f"place is {last_place!r:.60}")
    last_key = db.execute(READ["last_key"], bounds).fetchone()[0] or first
    return JobInfo(job, max(last_run, last_place), last_key, before)


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def _agent(db: sqlite3.Connection, where: object, job: int) -> JobAgent | None:
    """Return whose a job was when it was last open, where that was kept."""
    for row in kinds.FILES.plain(db, where, READ["file"], (job, AGENT, "")):
        return JobAgent(name=row.path, source=row.beside)
    return None


def _keep_agent(
    db: sqlite3.Connection, job: int, before: JobAgent | None, agent: JobAgent | None
) -> None:
    if agent is None or agent == before:
        return
    name, source = (_storable(text) for text in agent)
    if before is not None and before.name == name and not source:
        return  # nobody knows what it is now: the next who does compares with the one known
    write_rows(db, [FileRow(job, AGENT, "", name, source)])


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
