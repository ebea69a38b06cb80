"""What the tests of golden journals share: a journal's runs go on, and what they came to."""

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
from tests.patience import PATIENCE
from tests.replay import agents, make_journals
from tests.replay.harness import JOB, VERSION, columns_of, load, nothing, simulate, tables_of
from tests.replay.make_journals import EXPECTED, JOURNALS, SCENARIOS, path_of

from perdure import LocalEngine, is_continuation_supported
from perdure.codec.codec import Codec
from perdure.codec.compressed import COMPRESSED, decompressed
from perdure.engine.job import Job

SIMULATED, REAL, OFF = "simulated", "real", "continuations off"
GOLDEN = sorted(
    (int(file.parent.name[1:]), file.stem) for file in JOURNALS.glob("v*/*.sql")
)  # schema version, scenario
SECONDS = PATIENCE  # how long a replay in real time may take


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


def check_goes_on(version: int, name: str, how: str, tmp_path: Path) -> None:
    """Let a golden journal's runs go on, and hold them to what is expected of them."""
    if how != OFF and name == "plain" and not is_continuation_supported():
        pytest.skip("this Python has no continuations")
    text, expected = golden(name, version), EXPECTED[name].of(version)
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
            order = "run, number" if table == "record" else ", ".join(columns_of(store, table)[:3])
            cursor = store.execute(f"SELECT * FROM {table} ORDER BY {order}")
            numbered = table in ("record", "output", "document", "command")
            first = 1 if numbered else 0  # it has a number of its own
            rows[table] = [tuple(map(_plain, row[first:])) for row in cursor]
    rows["output"].sort()
    return rows


def _plain(value: Any) -> Any:
    """Return what is compressed as it was: its bytes are a matter of the zlib at hand."""
    is_compressed = isinstance(value, bytes) and value.startswith(COMPRESSED)
    return decompressed(value) if is_compressed else value


def check_writes_the_same(name: str, tmp_path: Path) -> None:
    """Make a golden journal again, and hold it to the one that is there.

    Else the format has changed: see README.md. Times and payloads are compared as well.
    """
    made = content(make_journals.journal(name), tmp_path / "made.db")
    recorded = content(golden(name), tmp_path / "golden.db")
    for table, rows in recorded.items():
        assert made[table] == rows
