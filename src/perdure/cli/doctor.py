"""`perdure doctor`: what is supported on this machine, and what to do about what is not."""

from __future__ import annotations

import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from perdure.cli.options import DEFAULT_STORE, epilog
from perdure.errors import PerdureError

OLDEST_SQLITE = (3, 33, 0)  # its schema table has the name that the store asks for
MEASURED_SECONDS = 0.3
SLOW_COMMITS = 20  # a second; a laptop's disk makes a few hundred


class Check(NamedTuple):
    """One line of the report: "ok", "warn" or "fail", what it is about, and what was found."""

    status: str
    subject: str
    text: str


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(epilog=epilog("perdure doctor", "perdure doctor --store sqlite:///reviews.db"))(
        doctor
    )


def doctor(
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="Look into this store, too.")
    ] = None,
) -> None:
    """Say what works here, and what to do about what does not.

    It looks at Python, continuations, SQLite and its disk, a store, and extras.

    Ends with 1 if something that perdure needs does not work.
    """
    from perdure.cli import render

    console = render.make_console()
    failed = False
    for check in _checks(store):
        failed = failed or check.status == "fail"
        line = render.styled(f"{check.status:<5}")
        line.append(f"{check.subject:<14} {check.text}", "")
        console.print(line)
    if failed:
        raise typer.Exit(1)


def _checks(store: str | None) -> Iterator[Check]:
    yield check_python()
    yield check_platform()
    yield Check("ok", "perdure", metadata.version("perdure"))
    yield check_continuations()
    yield from check_packages()
    yield check_sqlite()
    yield _guarded("commits", lambda: check_commits(store))
    if store is not None or Path("perdure.db").exists():
        url = store or DEFAULT_STORE
        yield _guarded("store", lambda: check_store(url))
    yield from check_extras()


def _guarded(subject: str, check: Callable[[], Check]) -> Check:
    """Return what a check found, or that it did not come to its end."""
    try:
        return check()
    except Exception as error:
        message = str(error) if isinstance(error, PerdureError) else f"{_name(error)}: {error}"
        return Check("fail", subject, " ".join(message.split()))


def _name(error: Exception) -> str:
    return type(error).__name__


def check_python() -> Check:
    """Say whether this Python is one that perdure is made for."""
    found = f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})"
    if sys.version_info >= (3, 14) or platform.python_implementation() != "CPython":
        return Check("warn", "python", f"{found}: not tested; use CPython 3.11, 3.12 or 3.13")
    return Check("ok", "python", found)


def check_platform() -> Check:
    """Say whether this operating system is supported."""
    found = f"{platform.system()} {platform.release()} ({platform.machine()})"
    if platform.system() in ("Linux", "Darwin"):
        return Check("ok", "platform", found)
    return Check("warn", "platform", f"{found}: by best effort; Linux and macOS are supported")


def check_continuations() -> Check:
    """Say whether plain `def` actions can be suspended."""
    from perdure.executor.continuation import is_continuation_supported

    if is_continuation_supported():
        return Check("ok", "continuations", "supported: calls of plain `def` actions overlap")
    return Check(
        "warn",
        "continuations",
        "not supported: plain `def` actions run one at a time, on a thread; install greenlet, or"
        " write `async def` actions",
    )


def check_packages() -> Iterator[Check]:
    """Name the versions of what perdure is built on."""
    for name in ("greenlet", "msgspec", "typer", "rich", "pyyaml"):
        try:
            yield Check("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            status = "warn" if name == "greenlet" else "fail"
            yield Check(status, name, f"not installed: pip install {name}")


def check_sqlite() -> Check:
    """Say whether this SQLite can keep a journal."""
    import sqlite3

    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        return Check("fail", "sqlite", f"{found}: use a Python with SQLite {oldest} or newer")
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE text USING fts5 (content)")
    except sqlite3.OperationalError:
        return Check("fail", "sqlite", f"{found} without FTS5: use a Python whose SQLite has it")
    finally:
        connection.close()
    return Check("ok", "sqlite", f"{found} (FTS5)")


def check_commits(store: str | None) -> Check:
    """Write as the store does, next to it or in a temporary folder, and measure."""
    folder = _folder_of(store)
    with tempfile.TemporaryDirectory(dir=folder, prefix="perdure-doctor-") as made:
        mode, synchronous, rate = _measure(Path(made) / "check.db")
        where = folder or tempfile.gettempdir()
    if mode != "wal" or synchronous != 2:
        return Check(
            "fail",
            "commits",
            f"{where}: SQLite gave journal mode {mode!r} and synchronous {synchronous}, not WAL and"
            " FULL: keep the store on a local disk",
        )
    found = f"{rate:,.0f} durable commits/s in {where} (WAL, synchronous FULL)"
    if rate < SLOW_COMMITS:
        return Check("warn", "commits", f"{found}: slow; keep the store on a local SSD")
    return Check("ok", "commits", found)


def _folder_of(store: str | None) -> Path | None:
    prefix = "sqlite:///"
    if store is None or not store.startswith(prefix):
        return None
    folder = Path(store.removeprefix(prefix)).parent
    return folder if folder.is_dir() else None


def _measure(path: Path) -> tuple[str, int, float]:
    """Return journal mode, synchronous setting and commits a second of a new database."""
    import sqlite3

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


def check_store(url: str) -> Check:
    """Say what is in a store."""
    from perdure.cli import render
    from perdure.history import SCHEMA_VERSION, History

    with History.open(url) as history:
        jobs = []
        for job in history.jobs():
            shown = render.counts(history.counts(job))
            alive = "; a live process runs it" if history.is_owned(job) else ""
            jobs.append(f"job {job.name} ({shown or 'no runs'}{alive})")
    listed = ", ".join(jobs) or "no jobs yet"
    return Check("ok", "store", f"{url}, schema version {SCHEMA_VERSION}: {listed}")


def check_extras() -> Iterator[Check]:
    """Name the optional parts and whether they are installed."""
    needs: dict[str, list[str]] = {}
    for requirement in metadata.requires("perdure") or ():
        found = re.match(r"([A-Za-z0-9._-]+).*extra == ['\"]([^'\"]+)", requirement)
        if found:
            needs.setdefault(found.group(2), []).append(found.group(1))
    for extra, names in sorted(needs.items()):
        missing = [each for each in names if not _is_installed(each)]
        text = "installed"
        if missing:
            text = f"not installed; pip install 'perdure[{extra}]' where you want it"
        yield Check("ok", f"extra {extra}", text)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
