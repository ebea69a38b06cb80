"""`perdure outputs`: what a job has sent out, again, whatever became of what was delivered."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import pytest

from perdure import Agent, InputEvent, JsonlSink, LocalEngine, OutputEvent, action
from perdure.cli.main import main
from perdure.connectors.json_text import to_json
from perdure.connectors.jsonl import JsonlSink as Sink
from perdure.operate.history import OUTPUTS_AT_ONCE


class Colour(enum.Enum):
    RED = "red"


class Size(NamedTuple):
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    more: Any = None


class Person(pydantic.BaseModel, extra="allow"):
    born: datetime.date


VALUES: list[Any] = [
    None, 1.5, float("nan"), "ü\x1b[31m", (1, (2,)), {3, 1, 2}, b"\x00\xff", 10**50,
    {(1, 2): 1, None: 2}, datetime.timedelta(seconds=90), decimal.Decimal("1.50"), uuid.UUID(int=5),
    Point(1, {"in": [Point(2)]}), {Point(1), Point(2)}, {Point(1): "key"},
    Person.model_validate({"born": "2020-01-02", "nick": "Ada"}),
    *range(2 * OUTPUTS_AT_ONCE),
]  # fmt: skip


class Sender(Agent):
    @action(InputEvent)
    async def send(self, event: InputEvent, ctx: Any) -> None:
        for value in VALUES if event.input["n"] == 0 else [event.input["n"]]:
            ctx.send_event(OutputEvent(output=value))


class ColourSender(Agent):
    @action(InputEvent)
    async def send(self, event: InputEvent, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=[Colour.RED, Size(1, 2)]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in the folder: returns exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def fill(*, envelope: bool = False, agent: type[Agent] = Sender, count: int = 2) -> None:
    engine = LocalEngine(job="numbers")
    inputs = [{"n": n} for n in range(count)]
    engine.run(agent, inputs, key="n", sink=JsonlSink("out.jsonl", envelope=envelope))


@pytest.mark.parametrize("envelope", [False, True])
def test_recorded_outputs_are_the_lines_that_were_delivered(
    folder: Path, cli: Any, *, envelope: bool
) -> None:
    """Over several pages, without the classes of the agent, in the order of the commits."""
    assert len(VALUES) > 2 * OUTPUTS_AT_ONCE
    fill(envelope=envelope)
    flag = ["--envelope"] if envelope else []
    code, out, err = cli("outputs", "--output", "again.jsonl", *flag)
    assert (code, out, err) == (0, "", f"job numbers: {len(VALUES) + 1} outputs\n")
    assert (folder / "again.jsonl").read_bytes() == (folder / "out.jsonl").read_bytes()
    (folder / "out.jsonl").unlink()
    code, out, _ = cli("outputs", *flag)  # to a terminal nothing acts
    assert code == 0
    assert "\x1b" not in out
    assert list(map(json.loads, out.splitlines())) == list(
        map(json.loads, (folder / "again.jsonl").read_text("utf-8").splitlines())
    )


def test_what_only_the_classes_know_is_given_by_its_names(folder: Path, cli: Any) -> None:
    fill(agent=ColourSender, count=1)
    assert (folder / "out.jsonl").read_bytes() == to_json(["red", [1, 2]]) + b"\n"
    assert cli("outputs")[1] == '["RED", {"width": 1, "height": 2}]\n'


def test_outputs_that_no_sink_has_are_given_too(cli: Any) -> None:
    LocalEngine(job="one").run(Sender, [{"n": 7}], key="n")
    with sqlite3.connect("perdure.db") as store:
        store.execute("UPDATE output SET delivered = 0")
    store.close()
    assert cli("outputs", "--output", "-", "--job", "one") == (0, "7\n", "job one: 1 output\n")


def test_a_file_that_exists_is_not_touched(folder: Path, cli: Any) -> None:
    fill(count=1)
    before = (folder / "out.jsonl").read_bytes()
    code, _, err = cli("outputs", "--output", "out.jsonl")
    assert (code, err.count("\n")) == (2, 1)
    assert "out.jsonl exists" in err
    assert "give a new file" in err
    os.symlink(folder / "nowhere", "link.jsonl")
    assert cli("outputs", "--output", "link.jsonl")[0] == 2
    assert (folder / "out.jsonl").read_bytes() == before
    assert not (folder / "nowhere").exists()


def test_nothing_is_left_of_what_cannot_be_read_to_its_end(
    folder: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    write, pages = Sink.write, []

    async def fail(self: Sink, outputs: Any) -> int | None:
        pages.append(len(outputs))
        if len(pages) == 2:
            raise OSError(28, "No space left on device")
        return await write(self, outputs)

    monkeypatch.setattr(Sink, "write", fail)
    code, _, err = cli("outputs", "--output", "again.jsonl")
    assert (code, pages) == (1, [OUTPUTS_AT_ONCE] * 2)
    assert "No space left" in err
    assert not (folder / "again.jsonl").exists()


def test_a_damaged_output_is_named(cli: Any) -> None:
    fill(count=2)
    with sqlite3.connect("perdure.db") as store:
        store.execute("UPDATE output SET value = x'01c1' WHERE run & 1 AND number = 3")
    store.close()
    code, _, err = cli("outputs", "--output", "again.jsonl")
    assert code == 1
    assert "table output, output 3 of run r1" in err


def test_an_output_file_that_is_gone_is_mended_by_its_advice(folder: Path, cli: Any) -> None:
    fill()
    lines = (folder / "out.jsonl").read_bytes()
    (folder / "out.jsonl").unlink()
    (folder / "sender.py").write_text("from tests.unit.test_cli_outputs import Sender\n")
    (folder / "in.jsonl").write_text('{"n": 0}\n')
    run = ("run", "sender.py:Sender", "--input", "in.jsonl", "--key", "n", "--job", "numbers")
    code, _, err = cli(*run, "--output", "out.jsonl", "--quiet")
    assert code == 1
    assert "out.jsonl is missing" in err
    assert "perdure outputs --output F" in err
    assert cli("outputs", "--output", "out.jsonl")[0] == 0
    assert (folder / "out.jsonl").read_bytes() == lines
    fresh = "--source-name", "again"  # the list before it had its places in "inputs"
    assert cli(*run, "--output", "out.jsonl", "--quiet", *fresh)[0] == 0
