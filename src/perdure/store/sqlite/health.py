"""Whether this machine is fit for SQLite stores: for `perdure doctor`."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

OLDEST_SQLITE = (3, 33, 0)  # its schema table has the name that the store asks for
MEASURED_SECONDS = 0.3
SLOW_COMMITS = 20  # a second; a laptop's disk makes a few hundred


class Finding(NamedTuple):
    """What a check found: "ok", "warn" or "fail", and what to do where it is not ok."""

    status: str
    text: str


def check_sqlite() -> Finding:
    """Say whether this SQLite can keep a journal."""
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        return Finding("fail", f"{found}: use a Python with SQLite {oldest} or newer")
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE text USING fts5 (content)")
    except sqlite3.OperationalError:
        return Finding("fail", f"{found} without FTS5: use a Python whose SQLite has it")
    finally:
        connection.close()
    return Finding("ok", f"{found} (FTS5)")


def check_commits(store: Path | None) -> Finding:
    """Write as the store does, next to it or in a temporary folder, and measure."""
    folder = store.parent if store is not None and os.path.isdir(store.parent) else None
    where = folder or tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="perdure-doctor-") as made:
            mode, synchronous, rate = _measure(Path(made) / "check.db")
    except OSError as error:
        return Finding(
            "fail",
            f"cannot write in {where}: {error.strerror}: mend it, or keep the store elsewhere",
        )
    if mode != "wal" or synchronous != 2:
        return Finding(
            "fail",
            f"{where}: SQLite gave journal mode {mode!r} and synchronous {synchronous}, not WAL and"
            " FULL: keep the store on a local disk",
        )
    found = f"{rate:,.0f} durable commits/s in {where} (WAL, synchronous FULL)"
    if rate < SLOW_COMMITS:
        return Finding("warn", f"{found}: slow; keep the store on a local SSD")
    return Finding("ok", found)


def _measure(path: Path) -> tuple[str, int, float]:
    """Return journal mode, synchronous setting and commits a second of a new database."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        connection.execute("CREATE TABLE row (value)")
        commits = 0
        begin = time.perf_counter()
        while (took := time.perf_counter() - begin) < MEASURED_SECONDS:
            connection.execute("INSERT INTO row VALUES (?)", (commits,))
            commits += 1
    finally:
        connection.close()
    return mode, synchronous, commits / took
