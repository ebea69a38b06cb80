"""What is damaged in a store is named with file, table and row, wherever it is met (G23)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, action
from perdure.cli.main import main
from perdure.errors import DecodeError, PerdureError, StoreError, StoreFormatError
from perdure.journal.record import encode_signal
from perdure.operate.history import History

JOB = "job"


class Next(Event):
    n: int


class Waits(Agent):
    """Runs that stay in the middle until a signal comes."""

    @action(InputEvent)
    async def begin(self, event: InputEvent, ctx: Any) -> None:
        one = await ctx.durable_execute_async(plus_one, event.input)
        ctx.short_term_memory.set("one", one)
        ctx.send_event(Next(n=one))

    @action(Next)
    async def end(self, event: Next, ctx: Any) -> None:
        two = await ctx.durable_execute_async(plus_one, event.n)
        try:
            await ctx.wait_for_signal("go")
        except DecodeError:  # an agent that takes everything for its own affair
            two = -1
        ctx.send_event(OutputEvent(output=[two, ctx.short_term_memory.get("one")]))


async def nothing(event: Any, ctx: Any) -> None: ...


IDLE = Agent().add_action("nothing", [InputEvent], nothing)


async def plus_one(n: int) -> int:
    return n + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a run that waits for a signal, in the middle of its second action."""
    path = tmp_path / "rows.db"

    async def begin() -> None:
        async with LocalEngine(f"sqlite:///{path}", job=JOB).open(Waits) as job:
            await job.submit(1, key="a", id="first")
            while job.progress.calls_made < 2 or not job.progress.waiting:
                await asyncio.sleep(0.005)
            job.stop_now()

    with pytest.raises(PerdureError, match="was stopped"):
        asyncio.run(begin())
    return path


def change(path: Path, sql: str, *values: Any) -> None:
    with sqlite3.connect(path) as db:
        assert db.execute(sql, values).rowcount in (-1, 1)
    db.close()


async def go_on(path: Path) -> list[Any]:
    async with LocalEngine(f"sqlite:///{path}", job=JOB).open(Waits) as job:
        run = await job.submit(1, key="a", id="first")
        await run.signal("go")
        return [output.value for output in await run.outputs()]


LAST = "(SELECT max(number) FROM record WHERE kind = {})"
LAST_NUMBER = (1 << 63) - 1
DAMAGED: dict[str, tuple[str, tuple[Any, ...], str, bool]] = {
    "a status": ("UPDATE run SET status = 77", (), "table run, run r1", True),
    "a status of text": ("UPDATE run SET status = 'x'", (), "table run, run r1", True),
    "a place": ("UPDATE run SET place = ?", (b"x",), "table run, run r1", True),
    "a label": ("UPDATE run SET label = CAST(? AS TEXT)", (b"\xff",), "run r1: label is no", True),
    "a key": ("UPDATE key SET value = ?", (b"\xff",), "key", True),
    "a key's digest": ("UPDATE key SET digest = 5", (), "table key", False),
    "a key that is gone": ("DELETE FROM key", (), "key", True),
    "a kind": (f"UPDATE record SET kind = 99 WHERE number = {LAST.format(2)}", (),
               "table record, a record of run r1, action 'end' on event 1: kind is 99", True),
    "a time": (f"UPDATE record SET at = 'x' WHERE number = {LAST.format(2)}", (),
               "table record, a record of run r1, action 'end' on event 1: at is text", True),
    "a result": (f"UPDATE record SET payload = ? WHERE number = {LAST.format(2)}", (b"\x01\xc1",),
                 "table record, RESULT of call 1 of action 'end' on event 1 of run r1", True),
    "a result of text": (f"UPDATE record SET payload = 'AQM=' WHERE number = {LAST.format(2)}", (),
                         "on event 1: payload is text, not bytes or NULL", True),
    "a result that is gone": (f"UPDATE record SET payload = NULL WHERE number = {LAST.format(2)}",
                              (), "RESULT of call 1 of action 'end' on event 1 of run r1", True),
    "a number below zero": (f"UPDATE record SET n = -1 WHERE number = {LAST.format(2)}", (),
                            "on event 1: n is -1", True),
    "a completion": (f"UPDATE record SET payload = ? WHERE number = {LAST.format(7)}", (b"\xc1",),
                     "table record, COMPLETED of action 'begin' on event 0 of run r1", True),
    "a call's number": (f"UPDATE record SET call = 0 WHERE number = {LAST.format(2)}", (),
                        "RESULT of action 'end' on event 1 of run r1: it names no call", False),
    "an input of another job": ("UPDATE input SET run = ?", (1 << 62,),
                                "table input, id 'first': run 4611686018427387904 is none", False),
    "an input of no run": ("UPDATE input SET run = ?", ((1 << 40) + (1 << 39),),
                           "table input, id 'first': run r8000000000 is not there", False),
    "an input's run": ("UPDATE input SET run = 'x'", (), "table input, id 'first': run is", False),
    "a record that is gone": (f"DELETE FROM record WHERE number = {LAST.format(7)}", (),
                              "no event 1", False),
    "a record's number": (f"UPDATE record SET number = ? WHERE number = {LAST.format(2)}",
                          (LAST_NUMBER,), f"table record, row {LAST_NUMBER}", False),
    "a command's next number": ("INSERT INTO sqlite_sequence VALUES ('command', ?)",
                                (LAST_NUMBER,), f"table sqlite_sequence, row {LAST_NUMBER}", False),
    "a table": ("DROP TABLE output", (), "table output: it is missing", True),
    "an index": ("DROP INDEX record_run", (), "index record_run: it is missing", True),
    "a trigger": ("DROP TRIGGER document_added", (), "trigger document_added: it is", True),
    "a column": ("ALTER TABLE run DROP COLUMN shard", (), "column shard of table run", True),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_g23_damage_is_named_where_a_job_meets_it(kind: str, path: Path) -> None:
    sql, values, expected, _ = DAMAGED[kind]
    change(path, sql, *values)
    with pytest.raises(StoreFormatError) as raised:
        asyncio.run(go_on(path))
    message = str(raised.value)
    assert str(path) in message
    assert "damaged" in message
    assert expected in message
    assert "restore it from a backup" in message
    assert "\n" not in message


@pytest.mark.parametrize("position", [b"", 1.5, "x", -1, -(1 << 63)])
def test_g23_a_bad_line_that_is_damaged_is_named(position: Any, tmp_path: Path) -> None:
    path = tmp_path / "lines.db"
    engine = LocalEngine(f"sqlite:///{path}", job=JOB)
    engine.run(IDLE, [{"k": 1}], key="k")
    values = (1, "inputs", position, 1, "bad", 1)
    change(path, "INSERT INTO bad_line VALUES (?, ?, ?, ?, ?, ?)", *values)
    with pytest.raises(StoreFormatError) as raised:
        engine.run(IDLE, [{"k": 1}, {"k": 2}], key="k")
    message = str(raised.value)
    assert message.startswith(f"{path} is damaged: table bad_line, 'inputs', position {position!r}")
    assert "\n" not in message


@pytest.mark.parametrize("position", [10**11, (1 << 63) - 1])
def test_a_bad_line_far_away_takes_no_room(position: int, tmp_path: Path) -> None:
    path = tmp_path / "lines.db"
    engine = LocalEngine(f"sqlite:///{path}", job=JOB)
    engine.run(IDLE, [{"k": 1}], key="k")
    change(
        path, "INSERT INTO bad_line VALUES (?, ?, ?, ?, ?, ?)", 1, "inputs", position, 1, "bad", 1
    )
    assert engine.run(IDLE, [{"k": 1}, {"k": 2}], key="k") == []


def test_g23_a_signal_that_is_damaged_is_named_once_and_passed_over(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["signal", "r1", "go", "--store", f"sqlite:///{path}"]) == 0
    change(path, "UPDATE command SET payload = ?", b"\xc1")
    assert asyncio.run(go_on(path)) == [[3, 2]]
    (said,) = [each.getMessage() for each in caplog.records if "signal" in each.getMessage()]
    assert said.startswith(
        f"the command 'signal' of run r1 is passed over: it cannot be read: sqlite:///{path} is"
        " damaged: table command, row 1: "
    )
    assert "\n" not in said


@pytest.mark.parametrize("kind", [kind for kind in DAMAGED if DAMAGED[kind][3]])
def test_g23_damage_is_named_where_somebody_looks(
    kind: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql, values, _, _ = DAMAGED[kind]
    change(path, sql, *values)
    store = f"sqlite:///{path}"
    said = []
    for command in (["runs"], ["show", "r1"], ["trace", "r1"]):
        code = main([*command, "--store", store])
        if code:
            said.append(capsys.readouterr().err)
    assert said
    for text in said:
        assert text.startswith(f"perdure: {path} is damaged: ")
        assert text.count("\n") == 1
    with pytest.raises(StoreFormatError, match="is damaged"), History.open(store) as history:
        history.detail(history.job(JOB), "r1")


LOOKS: dict[str, tuple[str, bytes, str]] = {
    "a result": (f"UPDATE record SET payload = NULLIF(?, x'') WHERE number = {LAST.format(2)}", b"",
                 "table record, RESULT of call 1 of action 'end' on event 1 of run r1: it has no"),
    "a completion": (f"UPDATE record SET payload = NULLIF(?, x'') WHERE number = {LAST.format(7)}",
                     b"", "table record, COMPLETED of action 'begin' on event 0 of run r1: it has"),
    "the end of a run": ("UPDATE output SET end_payload = NULLIF(?, x'')", b"",
                         "table output, output 1 of run r1: end_payload is NULL"),
    "a failure": ("UPDATE record SET kind = 3, payload = ? WHERE number = " + LAST.format(2),
                  b"\x01\x80",
                  "table record, ERROR of call 1 of action 'end' on event 1 of run r1: journal"),
    "an output": ("UPDATE output SET value = ?", b"", "table output, output 1 of run r1, or the"),
    "a child": ("UPDATE record SET function = 'perdure:submit', payload = ? WHERE number = "
                + LAST.format(2), b"\x01\x05",
                "table record, RESULT of call 1 of action 'end' on event 1 of run r1: "),
    "a command": ("UPDATE command SET payload = ?", b"\xc1", "table command, row "),
    "a status": ("UPDATE run SET status = CAST(? AS TEXT)", b"\xff", "table run, run r1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOOKS)
def test_g23_every_look_at_a_damaged_run_names_the_row(
    kind: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(go_on(path))
    store = f"sqlite:///{path}"
    assert main(["signal", "r1", "go", "--store", store]) == 1  # it has ended
    change(path, "INSERT INTO command (job, run, command, payload, at)"
                 " SELECT job, run, 'signal', x'', 1 FROM run")  # fmt: skip
    sql, value, expected = LOOKS[kind]
    change(path, sql, value)
    capsys.readouterr()
    said = []
    for command in (["runs"], ["show", "r1"], ["trace", "r1"], ["stats"], ["outputs"]):
        if main([*command, "--store", store]):
            said.append(capsys.readouterr().err.removeprefix("perdure: "))
    with History.open(store) as history:
        for look in (history.run_with_outputs, history.detail):
            try:
                look(history.job(JOB), "r1")
            except StoreFormatError as error:
                said.append(f"{error}\n")
        try:
            history.counts(history.job(JOB))
        except StoreFormatError as error:
            said.append(f"{error}\n")
    assert said
    for text in said:
        assert text.startswith(f"{path} is damaged: {expected}"), text
        assert text.count("\n") == 1


class Asks(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        await ctx.wait_for_approval("pay")


def test_g23_an_answer_that_is_damaged_is_named_to_who_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "asks.db"

    async def begin() -> None:
        async with LocalEngine(f"sqlite:///{path}", job=JOB).open(Asks) as job:
            await job.submit(1, key="a")
            while not job.progress.waiting:
                await asyncio.sleep(0.005)
            job.stop_now()

    with pytest.raises(PerdureError, match="was stopped"):
        asyncio.run(begin())
    approve = ["approve", "r1", "--store", f"sqlite:///{path}"]
    assert main(approve) == 0
    change(path, "UPDATE command SET payload = ?", encode_signal("pay", b"\x01\xc1"))
    capsys.readouterr()
    assert main(approve) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"perdure: {path} is damaged: table command, row 1: ")
    assert said.count("\n") == 1


def test_g23_an_input_that_only_a_look_needs_is_named_there(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(path, "UPDATE run SET value = ?", b"\x01\xc1")
    assert main(["runs", "--store", f"sqlite:///{path}"]) == 1
    assert f"{path} is damaged: table run, run r1" in capsys.readouterr().err
    assert asyncio.run(go_on(path)) == [[3, 2]]  # its action has completed


@pytest.mark.parametrize("name", ["data", "path"])
def test_g23_damage_that_an_action_meets_stops_the_job_and_is_no_outcome(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "memory.db"

    async def run(value: int) -> list[Any]:
        async with LocalEngine(f"sqlite:///{path}", job=JOB).open(Remembers) as job:
            run = await job.submit(value, key="a")
            return [output.value for output in await run.outputs()]

    assert asyncio.run(run(1)) == [None]
    change(path, f"UPDATE memory SET {name} = ?", b"\x01\xc1")
    before = _statuses(path)
    with pytest.raises(StoreFormatError, match="table memory, path"):
        asyncio.run(run(2))
    assert all(status < 4 for status in _statuses(path)[len(before) :])  # it has not failed


def test_g23_a_failure_that_is_gone_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "failed.db"

    async def go(event: Any, ctx: Any) -> None:
        raise ValueError("no")

    async def outputs() -> list[Any]:
        agent = Agent().add_action("go", [InputEvent], go)
        async with LocalEngine(f"sqlite:///{path}", job=JOB).open(agent) as job:
            return list(await (await job.submit(1, key="a", id="first")).outputs())

    with pytest.raises(ValueError, match="no"):
        asyncio.run(outputs())
    change(path, "UPDATE run SET error = NULL")
    with pytest.raises(StoreFormatError, match="table run, run r1, error: "):
        asyncio.run(outputs())


@pytest.mark.parametrize("wrong", [b"\x01\x05", b"\x01\xa3zzz"])
def test_g23_a_run_that_was_started_under_no_id_is_damage(wrong: bytes, tmp_path: Path) -> None:
    path = tmp_path / "child.db"

    async def go(event: Any, ctx: Any) -> None:
        if event.input == "parent":
            child = await ctx.submit("child", key="other")
            await ctx.wait_for_signal("go")
            await child.outputs()

    async def leg(*, first: bool) -> None:
        agent = Agent().add_action("go", [InputEvent], go)
        async with LocalEngine(f"sqlite:///{path}", job=JOB).open(agent) as job:
            run = await job.submit("parent", key="a", id="first")
            while first and not job.progress.waiting:
                await asyncio.sleep(0.005)
            if first:
                job.stop_now()
            await run.outputs()

    with pytest.raises(PerdureError, match="was stopped"):
        asyncio.run(leg(first=True))
    change(path, "UPDATE record SET payload = ? WHERE function = 'perdure:submit'", wrong)
    with pytest.raises(StoreFormatError, match="which is no run id"):
        asyncio.run(leg(first=False))


@pytest.mark.parametrize("also", ["", ", start_at = 0"])
def test_a_run_whose_call_has_lost_its_times_is_drawn(
    also: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = f"UPDATE record SET at = 0, started_at = 0{also} WHERE number = {LAST.format(2)}"
    change(path, lost)
    command = ["trace", "r1", "--format", "perfetto", "--store", f"sqlite:///{path}"]
    assert main(command) == 0
    assert '"plus_one"' in capsys.readouterr().out


@pytest.mark.parametrize("policy", ["fail", "reexecute"])
def test_g23_an_input_that_is_damaged_stops_the_job_where_calls_of_it_are_recorded(
    policy: str, tmp_path: Path
) -> None:
    path = tmp_path / "input.db"

    async def leg(*, first: bool) -> None:
        engine = LocalEngine(f"sqlite:///{path}", job=JOB, config={"on-divergence": policy})
        async with engine.open(WaitsAtOnce) as job:
            run = await job.submit(1, key="a", id="first")
            while first and not (job.progress.calls_made and job.progress.waiting):
                await asyncio.sleep(0.005)
            if first:
                job.stop_now()
            await run.outputs()

    with pytest.raises(PerdureError, match="was stopped"):
        asyncio.run(leg(first=True))
    change(path, "UPDATE run SET value = ?", b"\x01\xc1")
    before = _statuses(path)
    with pytest.raises(StoreFormatError, match="table run, run r1"):
        asyncio.run(leg(first=False))
    assert _statuses(path) == before  # it has not failed


class WaitsAtOnce(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        await ctx.durable_execute_async(plus_one, event.input)
        await ctx.wait_for_signal("go")


class Remembers(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=ctx.short_term_memory.get("last")))
        ctx.short_term_memory.set("last", event.input)


def _statuses(path: Path) -> list[int]:
    with sqlite3.connect(path) as db:
        found = [status for (status,) in db.execute("SELECT status FROM run ORDER BY run")]
    db.close()
    return found


def test_g25_a_commit_that_meets_damage_is_not_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.store.sqlite.store import SqliteStore

    tried = []
    write: Callable[..., None] = SqliteStore._write

    def failing(self: SqliteStore, rows: Any, patient: bool) -> None:
        tried.append(rows)
        if len(tried) > 1:
            raise sqlite3.DatabaseError("database disk image is malformed")
        write(self, rows, patient)

    monkeypatch.setattr(SqliteStore, "_write", failing)
    with pytest.raises(StoreError, match="malformed"):
        asyncio.run(go_on(path))
    assert len(tried) < 10
