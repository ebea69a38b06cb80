"""The log's mark: notices that a store's write-ahead log is gone, or has lost commits (G5, G23).

What was committed since the last checkpoint is in the log alone. A store that was copied without
it, or whose log was deleted, would be read as if that had never been. Two things say that there
was more:

- In the store itself: a life of a job begins with a number in the file's header that says so, a
  checkpoint brings it into the database file, and the next commit, in the log, takes it back. Who
  finds it so, and no log, has the database file alone. The number is SQLite's own of the schema
  (`PRAGMA schema_version`), which says no more than that a statement is to be prepared anew.
- Beside the lock, a mark: how many records and outputs the store had, written now and then and
  after they were durable, so that it is never ahead of what survives. A clean end removes it.

A mark of a life that is not the store's newest is of another store, such as one from before a
backup was put back: who begins a life, or migrates a store, has the marks of its other jobs go with
it. After a crash of the machine the mark of a job that commits without fsync may be ahead, so it
counts within one start of the machine alone.
"""

from __future__ import annotations

import contextlib
import glob
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from perdure.errors import StoreError, StoreFormatError
from perdure.same_file import is_still
from perdure.store.ownership import PRIVATE, open_alone, real_path
from perdure.store.sqlite.disk import make_file

__all__ = [
    "LogMark", "carry_marks", "check_log", "check_not_emptied", "close_as_it_is", "close_whole",
    "life_of", "log_path", "make_whole", "mark_path",
]  # fmt: skip

BOTH_COUNT = 6  # version of the schema from which on marks count outputs too
EVERY_SECONDS = 0.05  # between two notes at least, but for the first
FIRST = 64  # notes at once: a short life has few commits
LOG_HEAD = 32  # bytes of a log before its first commit
SIZE = 256  # bytes of a mark: written over in place, within one block of the disk
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FORMAT = "perdure-mark-1"

HALF = 1 << 30  # in the number of the schema: a life has begun, and its log has the rest
_TOKENS = HALF - 1
# The number of the schema, and records and outputs: a commit may have a record in an output's row.
_STATE = """
SELECT schema_version,
       coalesce((SELECT max(number) FROM record), 0)
       + coalesce((SELECT max(position) FROM output), 0)
FROM pragma_schema_version
"""
# What marks said until version 5.
_STATE_UNTIL_5 = """
SELECT schema_version, coalesce((SELECT max(number) FROM record), 0) FROM pragma_schema_version
"""


def log_path(database: Path) -> Path:
    """Return the file of the store's write-ahead log."""
    real = real_path(database)
    return real.with_name(f"{real.name}-wal")


def mark_path(lock: Path) -> Path:
    """Return the file of a job's mark, beside its lock."""
    return lock.with_name(lock.name.removesuffix(".lock") + ".mark")


class _Mark(NamedTuple):
    """What a mark says: whose it is, and how far the job had come at least."""

    life: int
    records: int
    boot: str

    @classmethod
    def read(cls, path: Path) -> _Mark | None:
        """Return the mark; None where there is none, or half of one."""
        try:
            if not path.is_file():  # opening a pipe waits for whoever writes into it
                return None
            with path.open("rb") as file:
                form, life, records, boot = file.read(SIZE).decode("ascii").split()
            return cls(int(life), int(records), boot) if form == _FORMAT else None
        except (OSError, ValueError):
            return None

    def write(self, file: int) -> None:
        """Write what the file holds.

        Raises:
            OSError: it is written in part, or not at all.
        """
        os.lseek(file, 0, os.SEEK_SET)
        if os.write(file, self._bytes()) < SIZE:
            raise OSError("the mark was written in part")

    def _bytes(self) -> bytes:
        text = f"{_FORMAT} {self.life} {self.records} {self.boot}\n"
        return text.encode("ascii").ljust(SIZE)


class LogMark:
    """The mark of a job that is open, and its life in the store.

    Owns: the file of the mark. Lifecycle: `begin` before each commit, `note` after it; `take`
    before the log is flushed, and what that gives after it; `end` before the store is closed. On
    whatever thread uses the connection, but for what `take` gives.

    Args:
        database: the store's file, as `real_path` gives it: the working directory may change.
        lock: the file of the job's lock.
        relaxed: commits do not wait for the disk.
        has_log: the file system knows a log, which can be lost apart from the database.
        mode: the permissions of the file where it is new.
    """

    def __init__(
        self, database: Path, lock: Path, *, relaxed: bool, has_log: bool, mode: int = PRIVATE
    ) -> None:
        self._database = database
        self._path = mark_path(lock)
        self._mode = mode
        self._relaxed = relaxed
        self._has_log = has_log
        self._file: int | None = None
        self._mark: _Mark | None = None
        self._noted: _Mark | None = None  # of commits that are not known to be durable
        self._due = 0.0
        self._notes = 0
        self.has_begun = False

    def begin(self, db: sqlite3.Connection) -> None:
        """Begin a life of the job, if it has not begun: before its first commit.

        So a store that is refused until then stays as it was. Where the disk is full there is no
        mark, and no other harm.

        Args:
            db: the store's connection, in no transaction.
        """
        if self.has_begun:
            return
        self.has_begun = True
        if not self._has_log:
            return
        life = random.SystemRandom().randrange(1, HALF - 1000)  # room for changes of the schema
        before = life_of(db)
        try:
            _set_number(db, HALF + life)
            # While somebody reads, the log is not begun anew: it goes on behind the checkpoint.
            with contextlib.closing(
                sqlite3.connect(self._database, isolation_level=None)
            ) as reader:
                reader.execute("BEGIN")
                reader.execute(_STATE).fetchone()
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                with _flushed(db):
                    _set_number(db, life)
        except sqlite3.OperationalError:
            return
        carry_marks(db, self._database, before)
        # With fsync a commit is as durable as the mark that follows it.
        boot = _boot() if self._relaxed else "any"
        self._mark = _Mark(life, 0, boot)
        with contextlib.suppress(OSError, StoreError):
            make_file(self._path, self._mode)
            self._file = open_alone(self._path, os.O_RDWR)
        self.note(db, 0.0)
        self.take()()

    def note(self, db: sqlite3.Connection, now: float) -> None:
        """Take note of what is committed by now, unless that was done a moment ago.

        Args:
            db: the store's connection, in no transaction.
            now: `time.perf_counter()`.
        """
        if now < self._due or self._file is None or self._mark is None:
            return
        self._notes += 1
        self._due = 0.0 if self._notes < FIRST else now + EVERY_SECONDS
        try:
            # Another job's life may have begun meanwhile.
            number, records = db.execute(_STATE).fetchone()
        except sqlite3.Error:
            self._due = now + 100 * EVERY_SECONDS  # an older mark says less, and nothing wrong
        else:
            self._noted = self._mark = _Mark(number & _TOKENS, records, self._mark.boot)

    def take(self) -> Callable[[], None]:
        """Return what writes the mark once that is durable which is committed by now."""
        noted, self._noted = self._noted, None
        file = self._file
        if noted is None or file is None:
            return _nothing

        def write() -> None:
            with contextlib.suppress(OSError):
                noted.write(file)

        return write

    def end(self, *, in_order: bool = True) -> None:
        """End the life; in good order what is committed needs no mark from here on."""
        if in_order and self._mark is not None and not self._is_anothers:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
        self._file = self._mark = self._noted = None

    @property
    def _is_anothers(self) -> bool:
        """True where the store was moved or replaced, so that at the path is none or another's."""
        return self._file is not None and not is_still(self._path, os.fstat(self._file))


def _nothing() -> None:
    pass


def life_of(db: sqlite3.Connection) -> int:
    """Return the number of the newest life that a store knows."""
    return _number(db) & _TOKENS


def carry_marks(db: sqlite3.Connection, path: Path, before: int) -> None:
    """Have the marks of a store's jobs be of the life that it has now.

    A process that has one of them just now may write it over, with less; it soon writes it again.

    Args:
        db: the store, in no transaction.
        path: its file.
        before: the life that it had.
    """
    now = life_of(db)
    if now == before:
        return
    for each, mark in _marks(path):
        if mark.life == before:
            with contextlib.suppress(OSError), each.open("r+b") as file:
                mark._replace(life=now).write(file.fileno())


def _marks(path: Path) -> Iterator[tuple[Path, _Mark]]:
    """Give the marks beside a store's file that count since this start of the machine."""
    real = real_path(path)
    for each in sorted(real.parent.glob(f"{glob.escape(real.name)}-*.mark")):
        mark = _Mark.read(each)
        if mark is not None and mark.boot in ("any", _boot()):
            yield each, mark


def _number(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA schema_version").fetchone()[0])


def _set_number(db: sqlite3.Connection, number: int) -> None:
    db.execute(f"PRAGMA schema_version = {number}")


def make_whole(db: sqlite3.Connection) -> None:
    """Take back what a process left that was killed between the first two commits of its life.

    A process that is between them just now takes it back in the same way. Where it cannot be
    written, as by who may only read, it is the next one's.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        if _number(db) >= HALF:
            _set_number(db, _number(db) & _TOKENS)


def close_whole(db: sqlite3.Connection) -> None:
    """Close a connection to a store, which may be the last one: SQLite does away with the log then.

    A process of another job may have been killed as its life began, while this one was open.
    """
    try:
        make_whole(db)
    finally:
        db.close()


def close_as_it_is(db: sqlite3.Connection, path: Path) -> None:
    """Close a connection and write nothing back: what the log is thought to have, the disk may not.

    The last one to close writes all of the log into the database file, without looking at its
    checksums; whoever opens it next looks. While somebody reads nobody is the last, and who may
    not write is not when it closes.
    """
    where = f"{real_path(path).as_uri()}?mode=ro"
    with contextlib.ExitStack() as open_until_then:
        # It has its lock, whatever it finds. Where the file is gone nothing is written back either.
        with contextlib.suppress(sqlite3.Error):
            reader = sqlite3.connect(where, uri=True, isolation_level=None)
            open_until_then.callback(reader.close)
            reader.execute("BEGIN")
            reader.execute("PRAGMA schema_version").fetchone()
        db.close()


@contextlib.contextmanager
def _flushed(db: sqlite3.Connection) -> Iterator[None]:
    """Have what is committed inside be durable, however the job commits."""
    (level,) = db.execute("PRAGMA synchronous").fetchone()
    db.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        db.execute(f"PRAGMA synchronous = {level}")


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


def check_not_emptied(path: Path) -> None:
    """Refuse a store whose database file is gone or cut off, and not what was committed beside it.

    Before SQLite opens it, even to read: it removes a log that it finds beside an empty database.

    Raises:
        StoreFormatError: the file is empty; says what is left, and what to do.
        StoreError: it is gone; likewise.
    """
    if _size(path):
        return
    log = log_path(path)
    left = [log] if _size(log) > LOG_HEAD else []
    left += [each for each, mark in _marks(path) if mark.records]
    if not left or _size(path):  # a process that makes it now has filled the file before these
        return
    beside = " and ".join(map(str, left))
    kind, what = (StoreFormatError, "empty") if path.exists() else (StoreError, "missing")
    raise kind(
        f"{path} is {what}, though {beside} beside it"
        f" {'says' if len(left) == 1 else 'say'} that it had commits: put the file back; to restore"
        f" a backup in its place, or to begin anew, remove {beside} first"
    )


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 where there is none, or nobody may look."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def check_log(db: sqlite3.Connection, path: Path, version: int, *, has_log: bool) -> None:
    """Refuse a store that has lost commits of its log.

    Args:
        db: the store.
        path: its file.
        version: that of its schema.
        has_log: whether its log was there before it was opened, which makes one.

    Raises:
        StoreFormatError: says what is missing, and what to do.
    """
    log = log_path(path)
    number = _number(db)
    if not has_log and number >= HALF:
        raise StoreFormatError(
            f"{path} was left in the middle of its work, and its write-ahead log {log} is missing:"
            " what was committed last is in it alone; put it beside the store, or restore a backup;"
            " to go on without what it held make an empty file of that name"
        )
    for each, mark in _marks(path):
        if mark.life != number & _TOKENS:
            continue  # of another store of this name
        _, records = db.execute(_STATE if version >= BOTH_COUNT else _STATE_UNTIL_5).fetchone()
        if records < mark.records:
            raise StoreFormatError(
                f"{path} has lost commits: it has {records} records and outputs, and {each} says"
                f" that there were {mark.records}; its write-ahead log {log} is missing, cut off or"
                f" another one: put it back, or restore a backup; to go on without delete {each}"
            )
