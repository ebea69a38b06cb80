"""`perdure doctor`: what is supported on this machine, and what to do about what is not."""

from __future__ import annotations

import functools
import platform
import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from perdure.cli.options import DEFAULT_STORE, epilog
from perdure.errors import PerdureError
from perdure.printable import printable


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

    It looks at Python, continuations, SQLite and its disk, a store, extras, and Flink's Java.

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
    yield from check_storage(store)
    if store is not None or Path("perdure.db").exists():
        url = store or DEFAULT_STORE
        yield _guarded("store", lambda: check_store(url))
    yield from check_extras()
    yield from check_flink()


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
    if sys.version_info >= (3, 15) or platform.python_implementation() != "CPython":
        return Check("warn", "python", f"{found}: not tested; use CPython 3.11 to 3.14")
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


def check_storage(store: str | None) -> Iterator[Check]:
    """Say whether stores can be kept here, next to this one if it is given."""
    from perdure.operate.health import storage_checks

    for subject, find in storage_checks(store).items():
        yield _guarded(subject, functools.partial(_found, subject, find))


def _found(subject: str, find: Callable[[], tuple[str, str]]) -> Check:
    status, text = find()
    return Check(status, subject, text)


def check_store(url: str) -> Check:
    """Say what is in a store."""
    from perdure.cli import render
    from perdure.operate.history import History

    with History.open(url) as history:
        jobs = []
        for job in history.jobs():
            shown = render.counts(history.counts(job))
            alive = "; a live process runs it" if history.is_owned(job) else ""
            jobs.append(f"job {printable(job.name)} ({shown or 'no runs'}{alive})")
        version = history.version
    listed = ", ".join(jobs) or "no jobs yet"
    return Check("ok", "store", f"{url}, schema version {version}: {listed}")


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


def check_flink() -> Iterator[Check]:
    """Name the Java that Flink would run on; nothing where Flink is not installed."""
    if not _is_installed("apache-flink"):
        return
    from perdure.engine.flink.java import find_java

    yield Check("ok", "flink", metadata.version("apache-flink"))
    try:
        yield Check("ok", "java", str(find_java()))
    except PerdureError as error:
        yield Check("warn", "java", str(error))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
