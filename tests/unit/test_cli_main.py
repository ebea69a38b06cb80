"""The command line as such: help, version, errors in one line, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from perdure.cli.main import app, main

ROOT = Path(__file__).parents[2]

COMMANDS = [
    "run", "serve", "ui", "runs", "show", "trace", "retry", "cancel", "approve", "signal",
    "inbox", "outputs", "stats", "doctor", "schema",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_examples(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Usage: perdure {command}" in result.output or f" {command} " in result.output
    examples = result.output.partition("Examples:")[2].strip().splitlines()
    assert examples
    assert all(f"perdure {command}" in examples[0] for _ in examples)


def test_the_help_lists_every_command_uncut() -> None:
    result = CliRunner().invoke(app, ["--help"])
    listed = result.output.partition("Commands:")[2].partition("Examples:")[0]
    assert [line.split()[0] for line in listed.strip().splitlines()] == COMMANDS
    assert "..." not in listed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"perdure {version('perdure')}\n"


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["bogus"], "bogus"),
        (["run"], "MODULE_OR_FILE:AGENT"),
        (["run", "agent.py", "--key", "id"], "--input"),
        (["runs", "--limt", "3"], "--limt"),
        (["runs", "--limit", "x"], "--limit"),
        (["runs", "--limit", "0"], "--limit"),
        (["runs", "--limit", str(2**63)], "--limit"),
        (["trace", "--job", "--limit", str(2**63)], "--limit"),
        (["stats", "--limit", str(2**63)], "--limit"),
        (["inbox", "--limit", str(2**63)], "--limit"),
        (["signal", "r1"], "NAME"),
        (["signal", "r1", "go", "1", "2"], "2"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("perdure: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert "--help`" in captured.err


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--store", "mysql://x"], 2, "mysql://x"),
        (["--store", "memory://"], 2, "memory://"),
        (["--store", "sqlite:///none.db"], 1, "there is no store at none.db"),
        (["--store", "sqlite:///text.db"], 1, "text.db"),
    ],
)
def test_an_error_is_one_line(
    options: list[str],
    code: int,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("this is no database, but long enough to be looked at. " * 100)
    assert main(["runs", *options]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("perdure: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_debug_adds_the_traceback_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--debug", "runs", "--store", "x"], ["runs", "--store", "x", "--debug"]):
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert "Traceback" in err
        assert "ConfigurationError" in err
        assert err.splitlines()[-1].startswith("perdure: store 'x' is not known")


def test_whatever_the_users_code_raises_is_told_in_one_line_in_which_nothing_acts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = "class Stop(BaseException): ...\ndef make():\n    raise Stop('\x1b[31mno')\n"
    Path("stopping.py").write_text(code)
    Path("in.jsonl").write_text('{"k": 1}\n')
    assert main(["run", "stopping.py:make", "--input", "in.jsonl", "--key", "k"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == r"perdure: Stop: \x1b[31mno (--debug shows where)"


def test_the_input_and_the_options_are_checked_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "agent.py:agent", "--key", "id"]
    assert main([*arguments, "--input", "none.jsonl"]) == 2
    assert "--input none.jsonl: there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


AGENT = """
from perdure import Agent, InputEvent, OutputEvent, action

class Echo(Agent):
    @action(InputEvent)
    async def echo(self, event, ctx):
        ctx.send_event(OutputEvent(output=event.input))

agent = Echo()
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed_is_as_if_it_led_nowhere(
    closed: str, tmp_path: Path
) -> None:
    (tmp_path / "echo.py").write_text(AGENT, "utf-8")
    (tmp_path / "in.jsonl").write_text('{"id": 1}\n', "utf-8")
    run = "-m perdure run echo.py --input in.jsonl --key id"
    for command, code in ((run, 0), ("-m perdure show r1 --json", 0), ("-m perdure show r9", 1)):
        line = f"exec {sys.executable} {command} {closed}"
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert ">&-" in closed or bool(done.stdout) is (code == 0)


@pytest.mark.parametrize("name", ["perdure.cli.main", "typer.main", "perdure.cli.schema"])
def test_ctrl_c_while_the_command_is_loaded_is_no_traceback(name: str) -> None:
    program = (
        "import runpy, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {name!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "sys.argv = ['perdure', '--version']\n"
        "runpy.run_module('perdure', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_the_command_is_built_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def get_command(app: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.main, "get_command", get_command)
    assert main(["--version"]) == 130
    assert capsys.readouterr() == ("", "")


def test_the_installed_command_is_the_module_that_heeds_ctrl_c_from_the_first() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"perdure": "perdure.__main__:main"}
    program = "import sys, perdure.__main__; print({'typing', 'typer'} & set(sys.modules))"
    # -S leaves out site-packages' start-up files, which may import anything.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "set()"


def test_help_loads_neither_engine_nor_rich() -> None:
    # This is what keeps it quick; the time itself depends on the machine.
    program = (
        "import sys\n"
        "from perdure.cli.main import main\n"
        "main(['--help'])\n"
        "heavy = {'rich', 'asyncio', 'sqlite3', 'msgspec', 'yaml', 'greenlet'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Usage: perdure" in done.stdout
    assert done.stderr.strip() == "[]"
