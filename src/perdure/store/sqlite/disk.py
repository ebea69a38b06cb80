"""A SQLite file on its disk: how it is made, what it is called, and what the disk's faults mean."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
import sys
import threading
from pathlib import Path

from perdure.errors import RAISE_FILES, StoreError, has_no_file_left, what_to_do
from perdure.store.ownership import PRIVATE, real_path

NEVER_WRITTEN = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    }
)  # codes of faults after which SQLite has put the transaction back itself

PROBE_CACHE_PAGES = 10
PROBE_ROW_BYTES = 1 << 20
PROBE_MORE_BYTES = 128 << 10  # what stays in the cache, and pages that a commit touches besides

_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_FILES = 3  # that SQLite opens for a store

# Closing a descriptor of a file drops all locks that this process has on it, SQLite's as well.
_making = threading.Lock()


def make_file(path: Path, mode: int = PRIVATE) -> None:
    """Make the store's file where there is none, so that nobody else may read it.

    What SQLite makes beside it gets the same permissions. A file that exists keeps its own.
    """
    with _making:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            return
        except OSError as error:
            do = what_to_do(error, "give another path, or this user the right to write there")
            raise StoreError(f"cannot make the store {path}: {error.strerror}: {do}") from error
        try:
            if sys.platform != "win32":
                os.fchmod(descriptor, mode)  # as asked for, whatever the umask
        finally:
            os.close(descriptor)


def check_kind(path: Path) -> None:
    """Refuse what can be no store, before anything is opened: a pipe would be waited for.

    Raises:
        StoreError: it is there, and no regular file; or this user may not look for it.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(
                f"the store {path} is a symbolic link that leads to itself: remove it, or name"
                " another file"
            ) from error
        if error.errno == errno.EACCES:
            raise no_right(path) from error
        return  # there is none, or its opening says why it cannot be looked at
    if stat.S_ISDIR(mode):
        raise StoreError(
            f"the store {path} is a folder: name a file in it, such as {path / 'perdure.db'}"
        )
    if not stat.S_ISREG(mode):
        raise StoreError(f"the store {path} is not a regular file: name another one")


def check_names(path: Path) -> None:
    """Refuse a file that has other names: its journal and its locks lie beside one of them.

    Raises:
        StoreError: there are hard links to it, or it is mounted there.
    """
    try:
        names = os.stat(path).st_nlink
    except OSError:
        return  # there is none, or its opening says why it cannot be looked at
    if names > 1:
        raise StoreError(
            f"the store {path} has {names} names (hard links), and what SQLite and perdure keep"
            " beside it would be there for each of them: remove the others, or copy the file"
            f" (`find {path.parent} -samefile {path}` names those that are near)"
        )
    if is_mounted(os.fsencode(real_path(path)), _mounts()):
        raise StoreError(
            f"the store {path} is a file that is mounted there, and what SQLite and perdure keep"
            " beside it would not be beside the file itself: mount the folder that it is in"
        )


def is_mounted(file: bytes, mounts: bytes) -> bool:
    """Say whether a file is the point of a mount.

    Args:
        file: its real path.
        mounts: what Linux says of a process's mounts in `mountinfo`: one a line, whose fifth word
            is the point, with octal numbers for the characters that would end the word.
    """
    ends = (line.split(b" ", 5) for line in mounts.splitlines())
    return any(len(end) > 4 and _OCTAL.sub(_character, end[4]) == file for end in ends)


def _mounts() -> bytes:
    try:
        return Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return b""  # another system, or none is told


def _character(octal: re.Match[bytes]) -> bytes:
    return bytes([int(octal[1], 8)])


def probe_room(connection: sqlite3.Connection, size: int) -> None:
    """Have the write-ahead log grow by `size` bytes and more, and commit something small.

    With hardly a cache, what a transaction writes goes to the log before its end; taken back, it
    leaves the room to the commits that follow, and nothing else.

    Raises:
        sqlite3.Error: there is no room, or the disk does not write.
    """
    cache = connection.execute("PRAGMA cache_size").fetchone()[0]
    connection.execute(f"PRAGMA cache_size = {PROBE_CACHE_PAGES}")
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("CREATE TABLE perdure_probe (value)")
            for written in range(0, size + PROBE_MORE_BYTES, PROBE_ROW_BYTES):
                room = min(PROBE_ROW_BYTES, size + PROBE_MORE_BYTES - written)
                connection.execute("INSERT INTO perdure_probe VALUES (zeroblob(?))", (room,))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        connection.execute("UPDATE job SET name = name")  # is committed, and so flushed
    finally:
        connection.execute(f"PRAGMA cache_size = {cache}")


def code_of(error: BaseException) -> int:
    """Return SQLite's code of an error without its detail, 0 for any other."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def disk_fault(error: sqlite3.Error, path: Path) -> str | None:
    """Return what a fault of the disk means, and what to do; None for any other."""
    code, name = code_of(error), getattr(error, "sqlite_errorname", "")
    if code == sqlite3.SQLITE_FULL:
        return f"{path} cannot grow: the disk is full; free space in {path.parent}"
    if code == sqlite3.SQLITE_IOERR and (limit := _file_size_limit()) is not None:
        return (
            f"{path} cannot be read or written ({name}): the process may write no file larger than"
            f" {limit:,} bytes (ulimit -f); raise that limit, or look whether the disk fails"
        )
    if code == sqlite3.SQLITE_IOERR:
        return (
            f"{path} cannot be read or written ({name}): the disk fails, is full or is gone; look"
            " at the system's log"
        )
    if code == sqlite3.SQLITE_READONLY:
        return f"{path} cannot be written: {_what_stands_in_the_way(path)}"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        if _no_file_left():
            return f"{path} cannot be opened: too many open files: {RAISE_FILES}"
        return f"{path} cannot be opened: {_what_stands_in_the_way(path)}"
    return None


def no_right(path: Path) -> StoreError:
    """Return the error of a store that this user may not open, or not even look for."""
    return StoreError(f"{path} cannot be opened: {_what_stands_in_the_way(path)}")


def may(path: str | Path, what: int) -> bool:
    """Say whether this user has a right to what is at a path, which is not opened."""
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def _what_stands_in_the_way(path: Path) -> str:
    """Return which right is missing, or what else is wrong, as far as it can be told."""
    for folder in reversed(Path(os.path.realpath(path)).parents):
        if os.path.isdir(folder) and not may(folder, os.X_OK):
            return f"this user may not search the folder {folder}; give it that right"
    beside = [Path(f"{real_path(path)}{end}") for end in ("-wal", "-shm")]
    for each in beside:
        if os.path.islink(each):
            return f"{each} is a symbolic link, which SQLite does not follow; put the file there"
    for each in (path, *beside):
        if os.path.exists(each) and not may(each, os.R_OK | os.W_OK):
            return f"this user may not read and write {each}; give it that right"
    if not may(path.parent, os.W_OK | os.X_OK):
        return f"this user may not write in the folder {path.parent}; give it that right"
    return f"is {path.parent} on a disk that is there, and mounted to be written?"


def _no_file_left() -> bool:
    """Say whether this process cannot open as many files as a store is."""
    made = []
    try:
        for _ in range(_FILES):
            made.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return has_no_file_left(error)
    finally:
        for each in made:
            os.close(each)
    return False


def _file_size_limit() -> int | None:
    """Return how large the files of this process may be; None without a limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
