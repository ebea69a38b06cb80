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


def test_a_store_that_was_left_in_the_middle_of_its_work_keeps_its_name(
    cli: Any, tmp_path: Path
) -> None:
    """Its job is in the log alone, and what leads into the log is gone."""
    (tmp_path / "there").mkdir()
    load("", tmp_path / "there" / "perdure.db")
    store = sqlite3.connect(tmp_path / "there" / "perdure.db")
    store.execute("PRAGMA journal_mode = WAL")
    store.executescript(STORE)
    for end in ("", "-wal"):
        copied = (tmp_path / "there" / f"perdure.db{end}").read_bytes()
        (tmp_path / f"perdure.db{end}").write_bytes(copied)
    store.close()
    assert "job 'notes' goes on under this name" in cli("notes.py:Notes")[2]


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


def test_fresh_runs_all_anew_and_appends(cli: Any, tmp_path: Path) -> None:
    """`--fresh` begins another generation, which the next command goes on with."""
    to = ("--output", "out.jsonl")
    cli("notes.py:Notes", *to)
    told = cli("notes.py:Notes", *to)[2]
    assert "to run them anew: --fresh (fresh=True)" in told
    assert f"their outputs of then are in {to[1]}" in told
    code, _, err = cli("notes.py:Notes", *to, "--fresh")
    assert code == 0
    assert "job 'notes.Notes' begins anew as generation 2" in err
    assert "notes.Notes: 2 inputs (2 completed);" in err
    assert cli("notes.py:Notes", *to)[2].count("nothing was run") == 1
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert list(map(json.loads, lines)) == [{"note": "one"}, {"note": "two"}] * 2


def test_a_fresh_start_of_an_older_store_keeps_its_name(cli: Any, tmp_path: Path) -> None:
    load(STORE, tmp_path / "perdure.db")
    code, outputs, err = cli("notes.py:Notes", "--fresh")
    assert (code, len(outputs)) == (0, 2)
    assert "job 'notes' goes on under this name" in err
    assert "job 'notes' begins anew as generation 2" in err
    assert "notes.Notes: " not in cli("notes.py:Notes")[2]


def test_readers_of_the_command_line_take_a_generation(
    cli: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cli("notes.py:Notes", "--job", "mine")
    cli("notes.py:Counts", "--job", "mine", "--fresh")

    def read(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return (code, *capsys.readouterr())

    one, two = '{"note": "one"}\n{"note": "two"}\n', "3\n3\n"
    assert read("outputs") == (0, two, "job mine@2: 2 outputs\n")
    assert read("outputs", "--job", "mine")[1] == two
    assert read("outputs", "--job", "mine@1") == (0, one, "job mine@1: 2 outputs\n")
    for job, action in (("mine@1", "note"), ("mine@2", "count"), ("mine", "count")):
        assert action in read("show", "r1", "--job", job)[1]
        assert (
            f"job {job if '@' in job else 'mine@2'}: 2 completed" in read("runs", "--job", job)[1]
        )
    code, _, err = read("cancel", "r1", "--job", "mine@3")
    assert code == 1
    assert "the store has no job 'mine@3'" in err


def test_abandon_goes_with_fresh(cli: Any, tmp_path: Path) -> None:
    code, _, err = cli("notes.py:Notes", "--abandon")
    assert (code, "--abandon goes with --fresh" in err) == (2, True)
    assert not (tmp_path / "perdure.db").exists()


def test_the_command_that_goes_on_does_not_begin_anew(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "one"}\noops\n', "utf-8")
    code, _, err = cli("notes.py:Notes", "--fresh", "--abandon")
    command = "perdure run notes.py:Notes --input in.jsonl --key id --quiet"
    assert code == 1
    assert f"  {command}\n" in err


def test_g21_no_job_and_no_id_begins_a_line_of_perdure_s_own(
    cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begins = "perdure: all is well"
    inputs = [{"id": "a", "text": "one"}, {"id": f"b\n{begins}", "text": None}]
    lines = "".join(f"{json.dumps(each)}\n" for each in inputs)
    (tmp_path / "in.jsonl").write_text(f"{lines}no JSON\n", "utf-8")
    job = ("--job", f"a\n{begins}")
    run = ("run", "notes.py:Counts", "--input", "in.jsonl", "--key", "id", "--id", "id", *job)
    assert main([*run, "--on-bad-line", "skip"]) == 1
    said = [*capsys.readouterr()]
    for command in (["outputs"], ["inbox"], ["stats"], ["runs"], ["runs", "--bad-lines"]):
        assert main([*command, *job]) == 0
        said += capsys.readouterr()
    assert main(["doctor"]) == 0
    text = "".join([*said, *capsys.readouterr()])
    for shown in (f"a\\n{begins}: 2 inputs", f"key b\\n{begins}: ", f"job a\\n{begins} (1 "):
        assert shown in text
    assert not [line for line in text.splitlines() if line.startswith(begins)]
