"""G6, G7, G23: journals that were written before are read now: their runs go on where they ended.

Each golden journal becomes a store of its schema version, and its job is opened, in simulated time
and in real time. See README.md.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from tests.replay import agents, libraries, make_journals, runs
from tests.replay.harness import EPOCH, SECOND, VERSION, at, columns_of, fetched, load, tables_of
from tests.replay.make_journals import EXPECTED, SCENARIOS
from tests.replay.replaying import (
    GOLDEN,
    WAYS,
    check_goes_on,
    check_writes_the_same,
    go_on,
    golden,
    records_of,
)

from perdure.engine.job import Job
from perdure.journal.record import RecordKind
from perdure.store.sqlite.file import connect

OTHERS = libraries.SCENARIOS.keys()  # see test_libraries.py


@pytest.mark.parametrize(("version", "name", "how"), [w for w in WAYS if w[1] not in OTHERS])
def test_g6_the_runs_of_a_golden_journal_go_on(
    version: int, name: str, how: str, tmp_path: Path, no_noise: None
) -> None:
    check_goes_on(version, name, how, tmp_path)


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
NAMES = (
    "give a class or function that was moved its old name (register_type(name=, aliases=),"
    " @durable(id=, aliases=))"
)
DIVERGED = {
    "another function": (
        agents.sequential_changed,
        ("call 2 is recorded as tests.replay.agents:fetch('a: parse'), but now the action made"
        " tests.replay.agents:refetch('a: parse'): it took another way than when it first ran."
        f" {ADVICE}; {NAMES}; or set on-divergence: reexecute"),
        [["a: fetch!", "a: parse!!", "a: store!", "a: send!"]],
        [("refetch", "a: parse"), *fetched("a: store", "a: send")],
    ),
    "other arguments": (
        agents.sequential_with_other_arguments,
        ("call 1 is recorded as tests.replay.agents:fetch('a: fetch'), but now the action made"
        " tests.replay.agents:fetch('a: FETCH'): it took another way than when it first ran."
        f" {ADVICE}; {NAMES}; or set on-divergence: reexecute"),
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


DIVERGING = [(version, how) for version, name, how in WAYS if name == "diverging"]


@pytest.mark.parametrize(("version", "how"), DIVERGING)
@pytest.mark.parametrize("way", DIVERGED)
def test_g7_another_way_fails_with_exactly_this_error(
    way: str, version: int, how: str, tmp_path: Path
) -> None:
    agent, message, _, _ = DIVERGED[way]
    replayed = go_on(golden("diverging", version), tmp_path, agent, how=how, version=version)
    assert replayed.statuses == {"r1": "failed"}
    where = "perdure.errors.NonDeterminismError: run r1 of key 'a', action go"
    assert replayed.errors == {"r1": f"{where}: {message}"}
    assert (replayed.outputs, replayed.executed) == ({}, [])


@pytest.mark.parametrize(("version", "how"), DIVERGING)
@pytest.mark.parametrize("way", DIVERGED)
def test_g7_reexecute_goes_on_from_there(
    way: str, version: int, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent, message, outputs, executed = DIVERGED[way]
    config = {"on-divergence": "reexecute"}
    replayed = go_on(
        golden("diverging", version), tmp_path, agent, how=how, version=version, config=config
    )
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
    for name in make_journals.of_version(VERSION):
        folder = tmp_path / name
        folder.mkdir()
        kinds |= {record["kind"] for record in records_of(golden(name), folder)}
    assert kinds == set(RecordKind)


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - make_journals.FROZEN - OTHERS))
def test_g23_this_version_writes_the_same_journals(name: str, tmp_path: Path) -> None:
    check_writes_the_same(name, tmp_path)
