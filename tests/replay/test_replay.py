"""G6, G7, G23: journals that were written before are read now: their runs go on where they ended.

Each golden journal becomes a store of its schema version, and its job is opened, in simulated time
and in real time. See README.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.replay import agents, make_journals, runs
from tests.replay.harness import (
    EPOCH,
    JOB,
    SECOND,
    VERSION,
    at,
    columns_of,
    fetched,
    load,
    nothing,
    simulate,
    tables_of,
)
from tests.replay.make_journals import EXPECTED, JOURNALS, SCENARIOS, path_of

from perdure import LocalEngine, is_continuation_supported
from perdure.engine.job import Job
from perdure.journal.codec import Codec
from perdure.journal.record import RecordKind
from perdure.store.sqlite_file import connect

SIMULATED, REAL, OFF = "simulated", "real", "continuations off"
GOLDEN = sorted(
    (int(file.parent.name[1:]), file.stem) for file in JOURNALS.glob("v*/*.sql")
)  # schema version, scenario
SECONDS = 20.0  # how long a replay in real time may take


# Going on


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What a job came to.

    Attributes:
        outputs: by run id, in order.
        statuses: by run id, but for those that completed.
        errors: type and message by run id.
        memory: short-term memory by key.
        executed: what the callables noted, in order.
        delivered: what the sink was given.
        records: the store's, in commit order, by column.
    """

    outputs: dict[str, list[Any]]
    statuses: dict[str, str]
    errors: dict[str, str]
    memory: dict[str, dict[str, Any]]
    executed: list[tuple[Any, ...]]
    delivered: list[Any]
    records: list[dict[str, Any]]


def go_on(
    text: str,
    folder: Path,
    agent: Any,
    *,
    how: str = SIMULATED,
    version: int = VERSION,
    begin: float = 30.0,
    body: Callable[[Job], Any] = nothing,
    config: dict[str, Any] | None = None,
    sink: bool = False,
    types: tuple[Any, ...] = (),
) -> Replayed:
    """Load a journal into a new store, open its job and let its runs come to their ends."""
    path = folder / "journal.db"
    load(text, path, version)
    delivered: list[Any] = []
    more: dict[str, Any] = {"sink": lambda o: delivered.append(o.value)} if sink else {}
    config = config or {}
    agents.reset(making=False, scale=1.0 if how == SIMULATED else 0.01)
    if how == SIMULATED:
        simulate(path, agent, body, begin=begin, config=config, **more)
    else:
        if how == OFF:
            config = {**config, "continuations": "off"}
        asyncio.run(_in_real_time(path, agent, body, config, more))
    return _collected(path, delivered, types)


async def _in_real_time(
    path: Path, agent: Any, body: Callable[[Job], Any], config: Any, more: Any
) -> None:
    engine = LocalEngine(f"sqlite:///{path}", JOB, {"durability": "relaxed", **config})
    async with asyncio.timeout(SECONDS):
        async with engine.open(agent, **more) as job:
            await body(job)


def _collected(path: Path, delivered: list[Any], types: tuple[Any, ...]) -> Replayed:
    codec = Codec()
    for each in types:
        codec.registry.register_annotation(each)
    infos = LocalEngine(f"sqlite:///{path}", JOB).runs(limit=1000)[::-1]
    outputs: dict[str, list[Any]] = {}
    memory: dict[str, dict[str, Any]] = {}
    with contextlib.closing(sqlite3.connect(path)) as store:
        ids = {info.number: info.id for info in infos}
        for run, value in store.execute("SELECT run, value FROM output ORDER BY run, number"):
            outputs.setdefault(ids[run], []).append(codec.decode(value))
        cells = "SELECT value, path, data FROM memory JOIN key USING (key) WHERE data IS NOT NULL"
        for key, place, data in store.execute(cells):
            memory.setdefault(repr(codec.decode(key)), {})[place] = codec.decode(data)
        records = _records(store)
    return Replayed(
        outputs=outputs,
        statuses={i.id: i.status.value for i in infos if i.status.value != "completed"},
        errors={i.id: f"{i.error['type']}: {i.error['message']}" for i in infos if i.error},
        memory=memory,
        executed=agents.State.executed,
        delivered=delivered,
        records=records,
    )


def _records(store: sqlite3.Connection) -> list[dict[str, Any]]:
    cursor = store.execute("SELECT * FROM record ORDER BY number")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def golden(name: str, version: int = VERSION) -> str:
    return path_of(name, version).read_text("utf-8")


def records_of(text: str, folder: Path, version: int = VERSION) -> list[dict[str, Any]]:
    """Return the records of a journal, with the columns that its schema version has."""
    path = folder / "golden.db"
    load(text, path, version)
    with contextlib.closing(sqlite3.connect(path)) as store:
        return _records(store)


# A migrated store differs from a new one in what is in it, not in how its runs take their time.
WAYS = [
    (version, name, how)
    for version, name in GOLDEN
    for how in (SIMULATED, REAL, *([OFF] if name == "plain" else []))
    if how == SIMULATED or version == VERSION
]


@pytest.mark.parametrize(("version", "name", "how"), WAYS)
def test_g6_the_runs_of_a_golden_journal_go_on(
    version: int, name: str, how: str, tmp_path: Path, no_noise: None
) -> None:
    if how != OFF and name == "plain" and not is_continuation_supported():
        pytest.skip("this Python has no continuations")
    text, expected = golden(name, version), EXPECTED[name]
    replayed = go_on(
        text, tmp_path, SCENARIOS[name].lives[-1].agent, how=how, version=version,
        begin=expected.begin, body=expected.body, config=expected.config,
        sink=expected.delivered is not None, types=expected.types,
    )  # fmt: skip
    # As text: NaN is not itself, and True is 1.
    for run in {**replayed.outputs, **expected.outputs}:
        assert repr(replayed.outputs.get(run)) == repr(expected.outputs.get(run))
    assert replayed.statuses == expected.statuses
    assert replayed.errors.keys() == expected.errors.keys()
    for run, error in expected.errors.items():
        assert replayed.errors[run].startswith(error)
    for key in {**replayed.memory, **expected.memory}:
        cells, wanted = replayed.memory.get(key, {}), expected.memory.get(key, {})
        assert repr(sorted(cells.items())) == repr(sorted(wanted.items()))
    if how == SIMULATED:
        assert replayed.executed == expected.executed
    else:
        late = {("fetch", "stopped: last")}  # may be stopped before it begins
        assert not (Counter(replayed.executed) - Counter(expected.executed))
        assert set(Counter(expected.executed) - Counter(replayed.executed)) <= late
    assert replayed.delivered == (expected.delivered or [])
    before = records_of(text, tmp_path, version)
    after = [{name: record[name] for name in before[0]} for record in replayed.records]
    assert after[: len(before)] == before, "what was recorded has changed"


def test_g10_g12_wake_ups_survive_a_restart(tmp_path: Path) -> None:
    """A back-off and a sleep end when they would have without it."""
    ends: dict[str, int] = {}
    for name, kind, column in (
        ("retry_in_back_off", RecordKind.RESULT, "started_at"), ("timers", RecordKind.TIMER, "at"),
    ):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        agent, begin = SCENARIOS[name].lives[-1].agent, EXPECTED[name].begin
        replayed = go_on(golden(name), folder, agent, begin=begin)
        found = [r for r in replayed.records if r["kind"] == kind and r["run"] & 0xFF == 1]
        ends[name] = found[-1][column] - EPOCH
    assert ends["retry_in_back_off"] == 11 * SECOND
    assert ends["timers"] == pytest.approx(42 * SECOND, abs=10_000)


@pytest.mark.parametrize("version", [v for v, name in GOLDEN if name == "schedule"])
def test_g2_a_schedule_goes_on_without_doubling_a_tick(version: int, tmp_path: Path) -> None:
    async def body(job: Job) -> None:
        await runs.schedules(job)
        await at(181)

    replayed = go_on(
        golden("schedule", version), tmp_path, runs.Clockwork, version=version, begin=150,
        body=body, types=runs.TYPES,
    )  # fmt: skip
    ticks = {run: repr(outputs) for run, outputs in replayed.outputs.items()}
    assert list(ticks.values()) == [repr(runs.ticked(minute)) for minute in (1, 2, 3)]
    assert list(replayed.statuses.values()) == ["waiting"]  # the tick that is next


OLDER = [(version, name) for version, name in GOLDEN if version < VERSION]


@pytest.mark.parametrize(("version", "name"), OLDER)
def test_g23_a_store_of_an_older_version_is_migrated(
    version: int, name: str, tmp_path: Path
) -> None:
    """It is one of that version, and no other, until it is opened."""
    path, new = tmp_path / "journal.db", tmp_path / "new.db"
    load(golden(name, version), path, version)
    connect(new, relaxed=True).close()
    assert _schema(path)[0] == version
    assert _schema(path) != _schema(new)
    connect(path, relaxed=True).close()
    assert _schema(path) == _schema(new)
    assert _schema(path)[0] == VERSION


def _schema(path: Path) -> tuple[int, dict[str, list[str]]]:
    """Return a store's version, and its tables with their columns."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        (version,) = store.execute("PRAGMA user_version").fetchone()
        return version, {table: columns_of(store, table) for table in tables_of(store)}


# Another way than the journal says


ADVICE = "Make it depend only on its event, its memory and its calls"
DIVERGED = {
    "another function": (
        agents.sequential_changed,
        ("call 2 is recorded as tests.replay.agents:fetch('a: parse'), but now the action made"
        " tests.replay.agents:refetch('a: parse'): it took another way than when it first ran."
        f" {ADVICE}, or set on-divergence: reexecute"),
        [["a: fetch!", "a: parse!!", "a: store!", "a: send!"]],
        [("refetch", "a: parse"), *fetched("a: store", "a: send")],
    ),
    "other arguments": (
        agents.sequential_with_other_arguments,
        ("call 1 is recorded as tests.replay.agents:fetch('a: fetch'), but now the action made"
        " tests.replay.agents:fetch('a: FETCH'): it took another way than when it first ran."
        f" {ADVICE}, or set on-divergence: reexecute"),
        [["a: FETCH!", "a: PARSE!"]],
        fetched("a: FETCH", "a: PARSE"),
    ),
    "fewer calls": (
        agents.sequential_cut_short,
        ("the journal has an outcome of call 2, tests.replay.agents:fetch('a: parse'), as"
        " settlement 2, but at that point the action has made only 1 call(s): it took another way"
        f" than when it first ran. {ADVICE}"),
        ["a: fetch!"],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", [SIMULATED, REAL])
@pytest.mark.parametrize("way", DIVERGED)
def test_g7_another_way_fails_with_exactly_this_error(way: str, how: str, tmp_path: Path) -> None:
    agent, message, _, _ = DIVERGED[way]
    replayed = go_on(golden("diverging"), tmp_path, agent, how=how)
    assert replayed.statuses == {"r1": "failed"}
    where = "perdure.errors.NonDeterminismError: run r1 of key 'a', action go"
    assert replayed.errors == {"r1": f"{where}: {message}"}
    assert (replayed.outputs, replayed.executed) == ({}, [])


@pytest.mark.parametrize("how", [SIMULATED, REAL])
@pytest.mark.parametrize("way", DIVERGED)
def test_g7_reexecute_goes_on_from_there(
    way: str, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent, message, outputs, executed = DIVERGED[way]
    config = {"on-divergence": "reexecute"}
    replayed = go_on(golden("diverging"), tmp_path, agent, how=how, config=config)
    assert (replayed.statuses, replayed.errors) == ({}, {})
    assert replayed.outputs == {"r1": outputs}
    assert replayed.executed == executed
    assert message in caplog.text


# The journals themselves


def test_there_is_a_golden_journal_of_every_scenario() -> None:
    versions = range(1, VERSION + 1)
    wanted = [(version, name) for version in versions for name in make_journals.of_version(version)]
    assert sorted(wanted) == GOLDEN
    assert EXPECTED.keys() == SCENARIOS.keys()


def test_every_kind_of_record_occurs(tmp_path: Path) -> None:
    """A new kind needs a scenario: see README.md."""
    kinds: set[int] = set()
    for name in SCENARIOS:
        folder = tmp_path / name
        folder.mkdir()
        kinds |= {record["kind"] for record in records_of(golden(name), folder)}
    assert kinds == set(RecordKind)


def content(text: str, path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return a journal's rows, each run's records in their order, without what may vary.

    Between runs the order depends on how commits are batched. The status of an unfinished run is
    for those who look.
    """
    load(text, path)
    rows: dict[str, list[tuple[Any, ...]]] = {}
    with contextlib.closing(sqlite3.connect(path)) as store:
        store.execute("UPDATE run SET status = 0 WHERE status < 4")
        for table in tables_of(store):
            order = "run, number" if table == "record" else "1, 2, 3"
            cursor = store.execute(f"SELECT * FROM {table} ORDER BY {order}")
            numbered = table in ("record", "output", "document", "command")
            first = 1 if numbered else 0  # it has a number of its own
            rows[table] = [row[first:] for row in cursor]
    rows["output"].sort()
    return rows


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - make_journals.FROZEN))
def test_g23_this_version_writes_the_same_journals(name: str, tmp_path: Path) -> None:
    """Else the format has changed: see README.md. Times and payloads are compared as well."""
    made = content(make_journals.journal(name), tmp_path / "made.db")
    recorded = content(golden(name), tmp_path / "golden.db")
    for table, rows in recorded.items():
        assert made[table] == rows
