"""What `perdure run` calls a job that nobody has named, and the stores of older versions."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.replay.harness import VERSION, load

from perdure.cli.main import main

STORE = Path(__file__).with_name("named_by_file.sql").read_text("utf-8")

NOTES = """
from perdure import Agent, InputEvent, OutputEvent, action


class Notes(Agent):
    @action(InputEvent)
    async def note(self, event, ctx):
        ctx.short_term_memory.update("count", lambda n: (n or 0) + 1)
        ctx.send_event(OutputEvent(output={"note": event.input["text"]}))


class Counts(Agent):
    @action(InputEvent)
    async def count(self, event, ctx):
        ctx.send_event(OutputEvent(output=len(event.input["text"])))
"""

INPUTS = '{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'


@pytest.fixture
def cli(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Any]:
    """Run the command line in a folder with two agents: returns code, outputs, what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "notes", raising=False)
    (tmp_path / "notes.py").write_text(NOTES, "utf-8")
    (tmp_path / "in.jsonl").write_text(INPUTS, "utf-8")

    def run(agent: str, *more: str) -> tuple[int, list[Any], str]:
        caplog.clear()
        code = main(["run", agent, "--input", "in.jsonl", "--key", "id", "--quiet", *more])
        captured = capsys.readouterr()
        warnings = "".join(f"{record.getMessage()}\n" for record in caplog.records)
        outputs = [json.loads(line) for line in captured.out.splitlines()]
        return code, outputs, warnings + captured.err

    yield run
    sys.modules.pop("notes", None)


def jobs(path: Path) -> list[str]:
    store = sqlite3.connect(path / "perdure.db")
    names = [name for (name,) in store.execute("SELECT name FROM job ORDER BY name")]
    store.close()
    return names


def test_two_agents_of_a_file_have_a_job_each(cli: Any, tmp_path: Path) -> None:
    code, outputs, err = cli("notes.py:Notes")
    assert (code, outputs) == (0, [{"note": "one"}, {"note": "two"}])
    assert err.startswith("notes.Notes: 2 inputs (2 completed);")
    code, outputs, err = cli("notes:Counts")
    assert (code, outputs) == (0, [3, 3])
    assert len(err.splitlines()) == 1
    assert jobs(tmp_path) == ["notes.Counts", "notes.Notes"]
    assert "nothing was run" in cli("./notes.py:Notes")[2]


def test_two_agents_under_one_name_are_named(cli: Any) -> None:
    """The second one's outputs are not there because the first has finished its inputs."""
    cli("notes.py:Notes", "--job", "mine")
    code, outputs, err = cli("notes.py:Counts", "--job", "mine")
    assert (code, outputs) == (0, [])
    assert "job 'mine' was agent Notes's and is now run by agent Counts" in err
    assert "nothing was run" in err


@pytest.mark.parametrize("version", range(4, VERSION + 1))
def test_a_store_goes_on_under_the_name_that_an_older_version_gave(
    cli: Any, tmp_path: Path, version: int
) -> None:
    load(STORE, tmp_path / "perdure.db", version)
    with (tmp_path / "in.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "a", "text": "three"}\n')
    code, outputs, err = cli("notes.py:Notes")
    assert (code, outputs) == (0, [{"note": "three"}])
    said, counts = err.splitlines()
    assert "job 'notes' goes on under this name" in said
    assert "'notes.Notes'" in said
    assert counts.startswith("notes: 3 inputs (3 completed, 2 finished before);")
    assert jobs(tmp_path) == ["notes"]
    assert cli("notes.py:Notes", "--job", "notes")[2].count("goes on under") == 0


def test_a_job_of_the_new_name_goes_before_one_of_the_old(cli: Any, tmp_path: Path) -> None:
    cli("notes.py:Notes", "--job", "notes")
    cli("notes.py:Notes", "--job", "notes.Notes")
    err = cli("notes.py:Notes")[2]
    assert "goes on under" not in err
    assert "job 'notes.Notes': nothing was run" in err


def test_commands_name_a_job_that_is_not_alone_in_its_store(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('oops\n{"id": "b", "text": "two"}\n', "utf-8")
    skip = ("--on-bad-line", "skip")
    assert cli("notes.py:Notes", *skip)[2].endswith("perdure runs --bad-lines\n")
    assert cli("notes.py:Notes", *skip)[2].endswith("perdure runs --bad-lines\n")
    told = cli("notes.py:Counts", *skip)[2]
    assert told.endswith("perdure runs --bad-lines --job notes.Counts\n")


@pytest.mark.parametrize("content", [b"", b"no store at all" * 100])
def test_a_store_that_cannot_be_read_is_refused_as_ever(
    cli: Any, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "perdure.db").write_bytes(content)
    code, _, err = cli("notes.py:Notes")
    assert code == (1 if content else 0)
    assert ("perdure.db is damaged or not an SQLite database" in err) is bool(content)
