"""What golden journals are made and replayed with: a simulated world, and scenarios in it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import perdure.codec.failure
import perdure.runtime.job_runtime
from perdure import LocalEngine
from perdure.engine.job import Job
from perdure.executor.executor import ContinuationActionExecutor
from perdure.executor.pool import Invocation
from perdure.runtime.shared.world import World
from perdure.store.sqlite.file import APPLICATION_ID, MIGRATIONS
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.thread import StoreThread
from perdure.store.statements import load_script
from perdure.testing.simulation.loop import Moment, SimulatedLoop

JOB = "golden"
EPOCH = 1_767_225_600_000_000_000  # the first moment of 2026
SECOND = 1_000_000_000
VERSION = len(MIGRATIONS)

Body = Callable[[Job], Coroutine[Any, Any, Any]]


# The world in which they are made, and replayed


class InstantStore(SqliteStore):
    """An SQLite store that does everything at once, without its thread."""

    def _new_thread(self) -> StoreThread:
        return _NoThread(self._known)


class _NoThread(StoreThread):
    """Does what it is asked while it is asked."""

    def __init__(self, known: Callable[[Exception], Exception]) -> None:
        self._known = known

    def ask(
        self, work: Callable[[], Any], over: Callable[[], None] = lambda: None
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(self._known(error))
        over()
        return future

    def end(self) -> None:
        pass


class InstantExecutor(ContinuationActionExecutor):
    """An executor without threads: plain callables run at once and are over a second later."""

    def start(self, invocation: Invocation, *, is_coroutine: bool, at_once: bool = True) -> None:
        if is_coroutine or self._closed:
            super().start(invocation, is_coroutine=is_coroutine, at_once=at_once)
            return
        invocation.started_at = self._now()
        value: Any = None
        error: BaseException | None = None
        try:
            value = invocation.func(*invocation.args, **invocation.kwargs)
        except BaseException as raised:  # as a thread of the pool does
            error = raised
        self._host.call_later(1, self._finish, invocation, value, error)


async def at(seconds: float) -> None:
    """Return when it is so many simulated seconds after the epoch."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(EPOCH / 1e9 + seconds - loop.time())


def simulate(
    path: Path, agent: Any, body: Body, *, begin: float, config: Any = None, sink: Any = None
) -> None:
    """Open the job at `path` at a simulated time, do `body`, wait until its runs have ended."""
    loop = SimulatedLoop(Moment(EPOCH + int(begin * SECOND)))
    engine = LocalEngine(f"sqlite:///{path}", JOB, {"durability": "relaxed", **(config or {})})
    engine._store = InstantStore(path, relaxed=True)
    world = World(now=loop.now, chance=lambda: 0.5, make_executor=InstantExecutor)

    async def main() -> None:
        async with engine.open(agent, sink=sink) as job:
            await body(job)

    # The text of a traceback is of this machine and this Python.
    failure = perdure.codec.failure
    traceback = mock.patch.object(failure, "traceback_of", return_value="traceback")
    with traceback, mock.patch.object(perdure.runtime.job_runtime, "World", return_value=world):
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
    assert loop.problems == []


# From a store to text and back


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Return a store's tables, without those that SQLite keeps for itself."""
    kinds = {row[1]: row[2] for row in connection.execute("PRAGMA main.table_list")}
    made = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    return [name for (name,) in made if kinds[name] == "table" and not name.startswith("sqlite_")]


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of a table's columns, quoted."""
    return [f'"{row[1]}"' for row in connection.execute(f"PRAGMA table_info({table})")]


# Whose a job is changes with the text of the agents here, like texts of tracebacks; which processes
# had it, with the machine.
LEFT_OUT = {"file": "WHERE kind <> 'agent'", "life": "WHERE false"}


def dump(connection: sqlite3.Connection, about: str) -> str:
    """Return the contents of a store as INSERT statements."""
    lines = [f"-- {line}".rstrip() for line in about.splitlines()]
    for table in tables_of(connection):
        columns = columns_of(connection, table)
        names, quoted = ", ".join(columns), ", ".join(f"quote({column})" for column in columns)
        order = ", ".join(columns[:3])
        rows = connection.execute(
            f"SELECT {quoted} FROM {table} {LEFT_OUT.get(table, '')} ORDER BY {order}"
        ).fetchall()
        if rows:
            values = ",\n".join(f"  ({', '.join(row)})" for row in rows)
            lines.append(f"INSERT INTO {table} ({names}) VALUES\n{values};")
    return "\n".join(lines) + "\n"


def load(text: str, path: Path, version: int = VERSION) -> None:
    """Make a store of a schema version at `path` with these contents.

    Only the migrations up to that version are run: opening the store runs the others.
    """
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")  # a test's store need not outlive the machine
    for script in MIGRATIONS[:version]:
        connection.executescript(load_script("sqlite", script))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.executescript(text)
    connection.close()


# Scenarios, and what they come to


@dataclasses.dataclass(frozen=True, kw_only=True)
class Life:
    """One process of a scenario: what it does, and when it is cut, in simulated seconds.

    What others would draw or read from a clock of theirs is `pinned` while the journal is made.
    """

    agent: Any
    body: Body
    until: float
    begin: float = 0.0
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    sink: Any = None
    pinned: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """How a golden journal is made.

    Attributes:
        about: what it shows, in its first line.
        lives: the processes that made it.
        first: the first schema version that has a journal of it.
    """

    about: str
    lives: tuple[Life, ...]
    first: int = 1


def submits(*inputs: tuple[Any, Any]) -> Body:
    """Return what submits inputs with their keys."""

    async def body(job: Job) -> None:
        for value, key in inputs:
            await job.submit(value, key=key)

    return body


def one(about: str, agent: Any, body: Body, until: float, *, first: int = 1, **more: Any) -> Any:
    """Return a scenario of one life."""
    life = Life(agent=agent, body=body, until=until, **more)
    return Scenario(about=about, lives=(life,), first=first)


async def nothing(job: Job) -> None:
    """Only go on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """What a journal's job must come to; see `Replayed`.

    Attributes:
        executed: callables that have no recorded outcome, in order; no other may run.
        errors: how type and message of the failed runs' errors begin.
        begin: when its job is opened again, in simulated seconds.
        body: what happens meanwhile.
        types: what its outputs, keys and memory hold that needs rebuilding.
        since: what the journals of later schema versions come to instead, by version.
    """

    begin: float
    outputs: dict[str, list[Any]]
    executed: list[tuple[Any, ...]]
    statuses: dict[str, str] = dataclasses.field(default_factory=dict)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    memory: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    delivered: list[Any] | None = None
    body: Callable[[Job], Any] = nothing
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    types: tuple[Any, ...] = ()
    since: dict[int, Expected] = dataclasses.field(default_factory=dict)

    def of(self, version: int) -> Expected:
        """Return what the journal of a schema version comes to."""
        later = [each for each in self.since if each <= version]
        return self.since[max(later)] if later else self


def fetched(*what: str) -> list[tuple[Any, ...]]:
    """Return the executions of `agents.fetch` with these arguments."""
    return [("fetch", each) for each in what]
