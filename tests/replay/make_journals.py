"""Makes the golden journals: `python -m tests.replay.make_journals` from the project's root.

Each scenario runs an agent in simulated time, on a store whose commits take none, and is cut in the
middle. So making them again gives the same text, on every machine; tests hold this version to it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest import mock

from tests.replay import agents

import perdure.journal.failure
import perdure.runtime.job
from perdure import LocalEngine, RunStatus
from perdure.engine.job import Job
from perdure.errors import StoreError
from perdure.executor.executor import ContinuationActionExecutor
from perdure.executor.pool import Invocation
from perdure.journal.record import encode_signal
from perdure.runtime.world import World
from perdure.store.base import CommandRow
from perdure.store.sqlite import SqliteStore
from perdure.store.sqlite_file import APPLICATION_ID, MIGRATIONS, connect, translate
from perdure.store.statements import load_script
from perdure.testing.simulation.loop import Moment, SimulatedLoop

JOURNALS = Path(__file__).with_name("journals")
JOB = "golden"
EPOCH = 1_767_225_600_000_000_000  # the first moment of 2026
SECOND = 1_000_000_000
VERSION = len(MIGRATIONS)
TABLES = (
    "job", "key", "run", "input", "record", "memory", "output", "sink", "document", "command",
)  # fmt: skip
CENTURIES = 200 * 365 * 86_400.0

Body = Callable[[Job], Coroutine[Any, Any, Any]]


# The world in which they are made, and replayed


class InstantStore(SqliteStore):
    """An SQLite store that does everything at once, without its thread."""

    def _call(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(work())
        except StoreError as error:
            future.set_exception(error)
        except Exception as error:
            future.set_exception(translate(error, self._path))
        return future


class InstantExecutor(ContinuationActionExecutor):
    """An executor without threads: plain callables run at once and are over a second later."""

    def start(self, invocation: Invocation, *, is_coroutine: bool) -> None:
        if is_coroutine or self._closed:
            super().start(invocation, is_coroutine=is_coroutine)
            return
        invocation.started_at = self._now()
        value, error = None, None
        try:
            value = invocation.func(*invocation.args, **invocation.kwargs)
        except Exception as raised:
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
    failure = perdure.journal.failure
    traceback = mock.patch.object(failure, "_traceback_of", return_value="traceback")
    with traceback, mock.patch.object(perdure.runtime.job, "World", return_value=world):
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
    assert loop.problems == []


# From a store to text and back


def dump(connection: sqlite3.Connection, about: str, version: int = VERSION) -> str:
    """Return the contents of a store as INSERT statements of a schema version."""
    lines = [f"-- {line}".rstrip() for line in about.splitlines()]
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if version == 1:
            columns = [column for column in columns if (table, column) != ("run", "due")]
        quoted = ", ".join(f'quote("{column}")' for column in columns)
        order = ", ".join(f'"{column}"' for column in columns[:3])
        rows = connection.execute(f"SELECT {quoted} FROM {table} ORDER BY {order}").fetchall()
        if rows:
            names = ", ".join(f'"{column}"' for column in columns)
            values = ",\n".join(f"  ({', '.join(row)})" for row in rows)
            lines.append(f"INSERT INTO {table} ({names}) VALUES\n{values};")
    return "\n".join(lines) + "\n"


def load(text: str, path: Path, version: int = VERSION) -> None:
    """Make a store of a schema version at `path` with these contents."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")  # a test's store need not outlive the machine
    for script in MIGRATIONS[:version]:
        connection.executescript(load_script("sqlite", script))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.executescript(text)
    connection.close()


# Scenarios


class _Cut(Exception):
    """Leaves a job in the middle of its runs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Life:
    """One process of a scenario: what it does, and when it is cut, in simulated seconds."""

    agent: Any
    body: Body
    until: float
    begin: float = 0.0
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    sink: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """How a golden journal is made.

    Attributes:
        about: what it shows, in its first line.
        lives: the processes that made it.
        first: the first schema version that can hold it.
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


async def _cancels(job: Job) -> None:
    runs = [await job.submit(name, key=name) for name in ("kept", "stopped")]
    await at(3)
    await runs[1].cancel()


async def _timed_out(job: Job) -> None:
    await job.submit("too long", key="t")


async def _signals(job: Job) -> None:
    first = await job.submit("first", key="s")
    second = await job.submit("second", key="s")
    await job.submit("third", key="waits")
    await at(1)
    await first.signal("unwanted", {"left": "over"})
    await at(2)
    await first.signal("approve", ["yes", 1])
    await first.signal("approve", ["again", 2])
    await second.signal("approve", "before it began")


async def _delays(job: Job) -> None:
    await job.submit("due soon", key="d", delay=100, id="soon")
    await job.submit("due in centuries", key="d", delay=CENTURIES, id="far")
    await job.submit("at once", key="e", delay=0.0)


async def _retries(job: Job) -> None:
    run = await job.submit("again", key="r")
    assert await run.wait() is RunStatus.FAILED
    assert await job.runtime.commands.retry(job.runtime.job_number << 40 | 1)


async def _leaves_commands(job: Job) -> None:
    """Fill the inbox as another process would, for a job that is not open."""
    failed = await job.submit("fails", key="r")
    runs = [await job.submit(name, key=name) for name in ("stopped", "told")]
    assert await failed.wait() is RunStatus.FAILED
    await at(3.5)
    codec, base = job.runtime.codec, job.runtime.job_number << 40
    commands = [("retry", failed.id, None), ("cancel", runs[0].id, None)]
    commands.append(("signal", runs[1].id, encode_signal("unwanted", codec.encode("new"))))
    rows = [
        CommandRow(job.runtime.job_number, base | int(run[1:], 16), name, payload, EPOCH)
        for name, run, payload in commands
    ]
    await job.runtime.commits.write(rows)  # the job's own writes are no news to it


async def _takes_one(output: Any) -> None:
    """Take the first output and hang in the second, as a slow sink."""
    if output.value != "one!":
        await asyncio.Event().wait()


async def _sinks(job: Job) -> None:
    for name in ("one", "two", "three"):
        await job.submit(name, key="same")


KEYS: tuple[Any, ...] = (
    "", " ", "a.b/c:d", "it's \"quoted\"; DROP TABLE run; --", "naïve ☃ 🙂", "\ud800", "nul\0",
    "two\nlines", "x" * 300, 0, True, -1, 2**70, 1.5, None, b"\x00\xff", ["list", 1], ("tuple", 1),
    {"k": "v"},
)  # fmt: skip
IDS: tuple[Any, ...] = ("", "it's", "naïve ☃", "~tilde", 7, "7", ("t", 1), "nul\0", "-- x")


async def _keys(job: Job) -> None:
    for n, key in enumerate(KEYS):
        await job.submit(n, key=key, id=IDS[n] if n < len(IDS) else None)


async def _nothing(job: Job) -> None:
    """Only go on."""


A_B = submits(("a", "a"), ("b", "b"))
REVIEWS: tuple[dict[str, Any], ...] = (
    {"set": {"draft.text": "gone soon", "draft.by": "nobody", "old": 1}},
    {"delete": ["draft"]},
    {"delete": ["old"], "set": {"new": [2]}, "reviews": {"lamp": 1, "desk": 3, "sofa": 5}},
    {"reviews": {"vase": 2}},
)
UNLUCKY = Life(agent=agents.sequential, body=submits(("a", "a"), ("b", "b")), until=2.5)

SCENARIOS: dict[str, Scenario] = {
    "sequential": one("Calls one after another, half of them done.", agents.sequential, A_B, 2.5),
    "gather_and_race": one(
        "A gather in the other order of its calls; a race, its winner recorded.",
        agents.gather_and_race, submits(("", "g")), 4.5,
    ),
    "as_completed_and_task_group": one(
        "The orders of as_completed and of a TaskGroup's tasks.",
        agents.as_completed_and_task_group, submits(("", "o")), 8,
    ),
    "failures_caught": one(
        "Failed calls: one rebuilt with its fields, one that cannot be, one in a gather.",
        agents.failures_caught, submits(("", "f")), 3.5,
    ),
    "plain": one("A plain action whose calls overlap.", agents.plain, submits(("", "p")), 2.75),
    "plain_race": one(
        "A race in a plain action, its winner recorded.",
        agents.plain_race, submits(("", "p")), 2.5,
    ),
    "retry_in_back_off": one(
        "A failed attempt and its back-off; an attempt that ends with its process and counts.",
        agents.retry_in_back_off, submits(("fails", "f"), ("crashes", "c")), 5,
    ),
    "in_doubt": one(
        "A call with a reconciler that is done, another in doubt.",
        agents.in_doubt, submits(("", "i")), 3,
    ),
    "timers": one(
        "A sleep and a timeout that came due, a sleep that did not.",
        agents.timers, submits(("", "t")), 20,
    ),
    "cancelled": one(
        "A run that was asked to stop and cleans up; another goes on.",
        agents.cancelled, _cancels, 4.5,
    ),
    "timed_out": one(
        "A run that took too long (run-timeout) and cleans up.",
        agents.cancelled, _timed_out, 6.5, config={"run-timeout": 5.0}, first=2,
    ),
    "memory": one(
        "Events, snapshots, tombstones, updates: a run that ended, one in the middle, one queued.",
        agents.Reviews, submits(*((each, "m") for each in REVIEWS)), 3.5,
    ),
    "signals": one(
        "Signals: taken, left over, for a run that has not begun; what the runs say they do.",
        agents.signals, _signals, 4, first=2,
    ),
    "children": one(
        "A run that started two others: the outputs of one are recorded, the other is half done.",
        agents.children, submits((["quick", "slow"], "parent")), 3, first=2,
    ),
    "delayed": one("Runs that are due later.", agents.delayed, _delays, 10, first=2),
    "retried": one(
        "A retried run: calls before the failure replayed, one behind it answered.",
        agents.retried, _retries, 5,
    ),
    "inbox": one(
        "Commands in the inbox: retry, cancel, signal.",
        agents.obeys, _leaves_commands, 3.5, first=2,
    ),
    "reexecuted": Scenario(
        about="A journal cut by on-divergence: reexecute, and gone on with.",
        lives=(
            UNLUCKY,
            Life(
                agent=agents.sequential_changed, body=_nothing, begin=10, until=12.5,
                config={"on-divergence": "reexecute"},
            ),
        ),
    ),
    "diverging": one(
        "Made by an agent that another one is not (see test_replay.py).",
        agents.sequential, submits(("a", "a")), 2.5,
    ),
    "values": one(
        "Values of many types in an input, a result, arguments, an event, both memories.",
        agents.Measures, submits((agents.VALUES, "v")), 3.5,
    ),
    "documents": one(
        "Documents that were added, replaced and deleted; a search still to come.",
        agents.Library, submits(("whale", "d")), 0.5, first=3,
    ),
    "keys": one("Keys and ids with awkward characters.", agents.keys, _keys, 5),
    "sink": one(
        "Outputs in the outbox: one delivered, one not; a run in the middle.",
        agents.delayed, _sinks, 2.5, sink=_takes_one,
    ),
}  # fmt: skip

# Made by an older release of the newest schema version, which wrote them in another way that is
# still read: they stay, and are not made again.
FROZEN: frozenset[str] = frozenset()


def of_version(version: int) -> list[str]:
    """Return the scenarios that a schema version can hold."""
    return [name for name, scenario in SCENARIOS.items() if scenario.first <= version]


VERSION_1 = of_version(1)


# Making them


def journal(name: str, version: int = VERSION) -> str:
    """Make the journal of a scenario; return its text.

    Older versions are no longer written by any code here: what version 1 wrote lacks nothing but
    a column, and in version 2 there were no documents.
    """
    scenario, text = SCENARIOS[name], ""
    agents.reset(making=True)
    for life in scenario.lives:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.db"
            if text:
                load(text, path)
            else:
                _begin(path)
            text = _live(life, path, functools.partial(dump, about=scenario.about))
            if life is scenario.lives[-1] and version == 1:
                text = _as_version_1(text, scenario.about)
    agents.reset(making=False)
    return text


def _begin(path: Path) -> None:
    connection = connect(path, relaxed=True)
    connection.execute("INSERT INTO job (job, name, created_at) VALUES (1, ?, ?)", (JOB, EPOCH))
    connection.close()


def _live(life: Life, path: Path, dumped: Callable[[sqlite3.Connection], str]) -> str:
    texts: list[str] = []

    async def body(job: Job) -> None:
        await life.body(job)
        await at(life.until)
        store: Any = job.runtime.store
        texts.append(dumped(store._connection))
        raise _Cut

    try:
        simulate(path, life.agent, body, begin=life.begin, config=life.config, sink=life.sink)
    except _Cut:
        pass
    return texts[0]


def _as_version_1(text: str, about: str) -> str:
    """Return the same journal as version 1 wrote it: nothing in it is newer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        load(text, path)
        connection = sqlite3.connect(path)
        newer = "SELECT count(*) FROM record WHERE kind > 10 UNION SELECT due FROM run WHERE due"
        assert connection.execute(newer).fetchall() == [(0,)]
        text = dump(connection, about, version=1)
        connection.close()
        return text


def write(version: int = VERSION) -> None:
    """Write the journals of a schema version."""
    for name in sorted({*of_version(version)} - FROZEN):
        path = JOURNALS / f"v{version}" / f"{name}.sql"
        path.write_text(journal(name, version), "utf-8")


if __name__ == "__main__":
    write()
