"""A SQLite file as a store: its identity, its version, its migrations, its settings (G23)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sqlite3
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from perdure.errors import (
    RAISE_FILES,
    StoreDataError,
    StoreError,
    StoreFormatError,
    has_no_file_left,
)
from perdure.store.damage import damaged
from perdure.store.generations import parted
from perdure.store.ownership import PRIVATE, real_path
from perdure.store.sqlite.binding import bind_at_once
from perdure.store.sqlite.disk import (
    NEVER_WRITTEN,
    check_kind,
    check_names,
    code_of,
    disk_fault,
    make_file,
    no_right,
)
from perdure.store.sqlite.mark import (
    carry_marks,
    check_log,
    check_not_emptied,
    life_of,
    log_path,
    make_whole,
)
from perdure.store.statements import load_script, load_statements, with_parts

APPLICATION_ID = 0x50455244  # "PERD"
# Number n brings version n - 1 to n.
MIGRATIONS: tuple[str, ...] = (
    "0001_schema.sql", "0002_due.sql", "0003_documents.sql", "0004_names.sql",
    "0005_starts.sql", "0006_ends.sql",
)  # fmt: skip
DIGEST = "22fc07103bea9938f4971da7f1583a9d"  # of what they make: `schema_digest`
CHUNK = 500  # values bound to one IN (...)
BUSY_SECONDS = 30.0
STATEMENTS = 512  # kept prepared: there is one for each number of rows (`write`)

PARTS = load_statements("sqlite", "parts.sql")
READ = with_parts(load_statements("sqlite", "read.sql"), PARTS)


def connect(path: Path | None, *, relaxed: bool = False, mode: int = PRIVATE) -> sqlite3.Connection:
    """Open the store at `path` (None: in memory), making or migrating its schema.

    Args:
        path: the database file; its folder must exist.
        relaxed: commit without fsync.
        mode: the permissions of the file, and of those beside it, where it is new.

    Raises:
        StoreFormatError: newer than this version, damaged or not ours; it is left untouched.
        StoreError: it cannot be opened.
    """
    if path is not None:
        check_kind(path)
        if not path.parent.is_dir():
            raise StoreError(
                f"the folder of the store does not exist: {path.parent}; make it first"
            )
        check_names(path)
        check_not_emptied(path)
        _check_untouched(path)
        make_file(real_path(path), mode)
    has_log = path is not None and log_path(path).exists()  # opening makes one
    bind_at_once()
    try:
        connection = sqlite3.connect(
            ":memory:" if path is None else path.absolute(),  # else file:NAME would be a URI
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        version = _check(connection, path, has_log=has_log)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if relaxed else 'FULL'}")
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA cache_size = -16384")
        if version < len(MIGRATIONS):
            life = life_of(connection)
            _migrate(connection, path)
            if path is not None:
                carry_marks(connection, path, life)
    except StoreError:
        connection.close()
        raise
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    return connection


def connect_reader(path: Path, copy: Path | None = None) -> sqlite3.Connection:
    """Open the store at `path` for reading and for commands; makes and migrates nothing.

    Args:
        path: the database file.
        copy: a copy of it, which is opened instead.

    Raises:
        StoreError: there is no such store.
        StoreFormatError: it is of another version, damaged or not ours.
    """
    check_kind(path)
    check_not_emptied(path)
    if not path.exists():
        raise StoreError(f"there is no store at {path}: run a job first, or name it with --store")
    if copy is None:
        check_names(path)
        _check_untouched(path)
    has_log = log_path(copy or path).exists()  # opening makes one
    try:
        connection = sqlite3.connect(
            (copy or path).absolute(), timeout=BUSY_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        version = _check(connection, path, has_log=has_log)
        if not version:
            raise StoreFormatError(
                f"{path} has nothing in it yet: if a job is making it now, look again in a moment;"
                " else run one"
            )
        if version != len(MIGRATIONS):
            raise StoreFormatError(
                f"{path} is of an older version: run its job once, which migrates it"
            )
    except StoreError:
        connection.close()
        raise
    return connection


def job_names(path: Path) -> frozenset[str]:
    """Return the names of the jobs of a store of any version; none where it cannot be read.

    What is wrong with it is said by who opens it.
    """
    if not os.path.isfile(path) or not os.path.getsize(path):
        return frozenset()
    has_log = log_path(path).is_file()
    uri = path.absolute().as_uri()
    # One that was left in the middle of its work needs recovery, which takes writing.
    for query in ("?mode=ro" if has_log else "?mode=ro&immutable=1", "?mode=rw"):
        try:
            looking = sqlite3.connect(uri + query, uri=True)
            with contextlib.closing(looking) as connection:
                _check(connection, path, has_log=has_log)
                names = connection.execute("SELECT name FROM job").fetchall()
                return frozenset(parted(name)[0] for (name,) in names)
        except StoreFormatError:
            break
        except (StoreError, sqlite3.Error, UnicodeDecodeError):
            pass
    return frozenset()


def _check_untouched(path: Path) -> None:
    """Refuse what is to be refused before it can change: else its log would be written back."""
    if not path.is_file():
        return
    has_log = log_path(path).is_file()
    # Without a log SQLite would make one, even to read.
    uri = f"{path.absolute().as_uri()}?mode=ro" + ("" if has_log else "&immutable=1")
    try:
        looking = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    with contextlib.closing(looking) as connection:
        try:
            _check(connection, path, has_log=has_log)
        except StoreFormatError:
            raise
        except StoreError:
            pass  # it needs recovery, which takes writing


def _check(connection: sqlite3.Connection, path: Path | None, *, has_log: bool) -> int:
    """Return the schema version, 0 for an empty file; changes nothing that anybody wrote.

    Args:
        connection: the store.
        path: its file.
        has_log: whether its write-ahead log was there before it was opened.
    """
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise translate(error, path) from error
    if application == APPLICATION_ID:
        if version > len(MIGRATIONS):
            raise StoreFormatError(
                f"{path} has schema version {version}, but this perdure knows versions up to"
                f" {len(MIGRATIONS)}: use the newer perdure that wrote it"
            )
        if version == len(MIGRATIONS):
            check_schema(connection, path)
        if path is not None and version:
            _check_log(connection, path, version, has_log=has_log)
        return version
    if tables or application or version:
        raise StoreFormatError(
            f"{path} is an SQLite database of another program (application id {application:#x}):"
            " name another file with --store"
        )
    return 0


def _check_log(connection: sqlite3.Connection, path: Path, version: int, *, has_log: bool) -> None:
    try:
        check_log(connection, path, version, has_log=has_log)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, path) from error
    if has_log:
        # Whoever looks may be the last to close, which has SQLite do away with the log.
        make_whole(connection)


def check_schema(connection: sqlite3.Connection, path: object) -> None:
    """Refuse a store that lacks a table, a column, an index or a trigger of its version.

    Raises:
        StoreFormatError: names what is missing.
    """
    try:
        if schema_digest(connection) == DIGEST:
            return
        found = set(connection.execute(_SCHEMA))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, path) from error
    missing = sorted(
        _parts_of_schema(MIGRATIONS) - found, key=lambda part: (part[0] != "table", str(part))
    )
    for kind, name, column in missing:
        what = f"column {column} of table {name}" if column else f"{kind} {name}"
        raise damaged(path or "memory", what, "it is missing")


def schema_digest(connection: sqlite3.Connection) -> str:
    """Return a digest of the statements that a store's tables, indexes and triggers were made by.

    Equal ones have equal parts, and it takes less than a tenth of making these once to compare.
    """
    texts = connection.execute(_TEXTS).fetchall()
    return hashlib.blake2b(repr(texts).encode(), digest_size=16).hexdigest()


# Tables of FTS5's own are named after the one they serve.
_TEXTS = """
SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'document_text_%' ORDER BY type, name
"""
_SCHEMA = """
SELECT type, name, NULL FROM sqlite_schema WHERE name NOT LIKE 'document_text_%'
UNION ALL SELECT s.type, s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c
WHERE s.type = 'table' AND s.name NOT LIKE 'document_text%'
"""


@functools.cache
def _parts_of_schema(scripts: tuple[str, ...]) -> frozenset[tuple[str, str, str | None]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for script in scripts:
            connection.executescript(load_script("sqlite", script))
        return frozenset(connection.execute(_SCHEMA))


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated it while this one waited for the lock.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for number in range(version + 1, len(MIGRATIONS) + 1):
            for statement in _statements(load_script("sqlite", MIGRATIONS[number - 1])):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        check_schema(connection, path)  # what was missing before is missing now
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:  # a fault of the disk has put it back already
            connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error) or code_of(error) in NEVER_WRITTEN:
            raise  # not the migration's matter
        raise StoreFormatError(f"{path}: the migration failed and was undone: {error}") from error


def _statements(script: str) -> list[str]:
    statements, current = [], ""
    for line in script.splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements


def translate(error: Exception, path: object) -> StoreError:
    """Return the StoreError that says what `error` means: a refused row, a format, or I/O."""
    where = path or "memory"
    data_errors = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
        OverflowError,
        UnicodeError,
    )
    if isinstance(error, UnicodeDecodeError):
        return damaged(where, "its schema", error)
    if isinstance(error, data_errors):
        return StoreDataError(f"{where} refused a row: {type(error).__name__}: {error}")
    if isinstance(error, sqlite3.OperationalError):
        if "locked" in str(error) or "busy" in str(error):
            return StoreError(f"{where} is locked by another program for over {BUSY_SECONDS:.0f} s")
        if isinstance(path, Path) and (fault := disk_fault(error, path)) is not None:
            return StoreError(fault)
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            # The statements are right, so what they name is not there.
            return damaged(where, "its schema", error)
        if "decode to UTF-8" in str(error):
            return damaged(where, "its text", error)
        return StoreError(f"{where}: {error}")
    if isinstance(error, sqlite3.DatabaseError):
        return StoreFormatError(
            f"{where} is damaged or not an SQLite database ({error}): it was left untouched;"
            " restore it from a backup, or name another file with --store"
        )
    if isinstance(error, PermissionError) and isinstance(path, Path):
        return no_right(path)
    if isinstance(error, OSError) and has_no_file_left(error):
        return StoreError(f"{where}: {error.strerror}: {RAISE_FILES}")
    return StoreError(f"{where}: {type(error).__name__}: {error}")


def select_many(
    connection: sqlite3.Connection,
    name: str,
    values: Collection[Any],
    *before: Any,
    statements: Mapping[str, str] = READ,
) -> list[Any]:
    """Run the named read statement over `values`, in chunks; return all rows."""
    rows: list[Any] = []
    listed: Sequence[Any] = list(values)
    for start in range(0, len(listed), CHUNK):
        chunk = listed[start : start + CHUNK]
        sql = statements[name].replace(":many", ",".join("?" * len(chunk)))
        rows.extend(connection.execute(sql, (*before, *chunk)))
    return rows
