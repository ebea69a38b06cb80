"""Taking a job of an SQLite store: it is made where it is new, and looked at where it is not."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from perdure.errors import ConfigurationError, StoreError
from perdure.store.base import NUMBER_BITS, JobAgent, JobInfo
from perdure.store.damage import damaged
from perdure.store.files import AGENT, FileRow
from perdure.store.generations import asked_for, check_job_name, parted, stored_name, unfinished
from perdure.store.ownership import JobLock
from perdure.store.sqlite import rows as kinds
from perdure.store.sqlite.file import READ
from perdure.store.sqlite.life import refuse_second_owner
from perdure.store.sqlite.rows import short_id
from perdure.store.sqlite.write import transaction, write_rows

ENDLESS = 1 << 62  # rows that nobody has written, at a million a second in a hundred thousand years


def take_job(
    db: sqlite3.Connection,
    where: object,
    name: str,
    agent: JobAgent | None,
    lock: JobLock | None = None,
    *,
    fresh: bool = False,
) -> JobInfo:
    """Return what the owner of a job starts from, making the job where it is new.

    Args:
        db: the store, in no transaction.
        where: the store, for messages.
        name: the job's name.
        agent: whose it is from now on.
        lock: the job's, which is held; None where nobody else can have the store.
        fresh: begin another generation of the job, unless the present one has had no runs.

    Raises:
        StoreLockedError: another process has the job, and has lost its lock file.
        StoreFormatError: the store is damaged.
        StoreError: `fresh`, and the present generation has unfinished runs.
        ConfigurationError: the name is that of a generation.
    """
    check_job_name(name)
    _check_room(db, where)
    job, generation = _newest(db, name) or (0, 0)
    if not job:
        _refuse_generation(db, name)
    elif lock is not None:
        refuse_second_owner(db, where, job, lock)
    before = _agent(db, where, job) if job else None
    if not job or (fresh and _last_run(db, where, job) > job << NUMBER_BITS):
        _check_finished(db, name, job)
        generation, before = generation + 1, None
        with transaction(db):
            stored = stored_name(name, generation)
            db.execute(READ["make_job"], (stored, time.time_ns()))
            ((job, _),) = db.execute(READ["job"], {"name": stored})
            _keep_agent(db, job, None, agent)
    last_run = _last_run(db, where, job)
    first = job << NUMBER_BITS
    bounds = (first, first + (1 << NUMBER_BITS))
    for (run,) in db.execute(READ["unknown_status"], (job,)):
        raise damaged(where, f"table run, run {short_id(run)}", "its status is unknown")
    with contextlib.suppress(sqlite3.OperationalError):  # a full disk: the next opening's
        db.execute(READ["forget_tombstones"], bounds)
        _keep_agent(db, job, before, agent)
    last_place = db.execute(READ["last_place"], (job,)).fetchone()[0] or first
    if type(last_place) is not int:
        kinds.RUNS.plain(db, where, READ["unfinished"], (job, -1, -1))  # names the row
        raise damaged(where, "table run", f"place is {last_place!r:.60}")
    last_key = db.execute(READ["last_key"], bounds).fetchone()[0] or first
    return JobInfo(job, max(last_run, last_place), last_key, before, generation)


def _check_room(db: sqlite3.Connection, where: object) -> None:
    """Refuse rows with numbers so high that SQLite could not count on from them."""
    for table, last in db.execute(READ["last_numbers"]):
        if isinstance(last, int | float) and last >= ENDLESS:
            what = "no row can follow it: no store has come to such a number"
            raise damaged(where, f"table {table}, row {last}", what)


def _newest(db: sqlite3.Connection, name: str) -> tuple[int, int] | None:
    """Return number and generation of the newest generation of a job."""
    for job, stored in db.execute(READ["job"], {"name": name}):
        return job, parted(stored)[1]
    return None


def _refuse_generation(db: sqlite3.Connection, name: str) -> None:
    """Refuse a new job whose name stands for a generation of one that there is."""
    asked = asked_for(name)
    if asked is not None and _newest(db, asked[0]) is not None:
        raise ConfigurationError(
            f"job {name!r} is generation {asked[1]} of job {asked[0]!r}, which is looked at and not"
            f" run: run job {asked[0]!r}, or choose another name"
        )


def _check_finished(db: sqlite3.Connection, name: str, job: int) -> None:
    ((count,),) = db.execute(READ["count_unfinished"], (job,))
    if count:
        raise StoreError(unfinished(name, count))


def _last_run(db: sqlite3.Connection, where: object, job: int) -> int:
    """Return the number of a job's last run; where it has had none, one below the first."""
    if not 0 < job < 1 << 63 - NUMBER_BITS:
        raise damaged(where, "table job", f"the number of a job is {job}")
    first = job << NUMBER_BITS
    last: int | None = db.execute(READ["last_run"], (first, first + (1 << NUMBER_BITS))).fetchone()[
        0
    ]
    return last or first


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
