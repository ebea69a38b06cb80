"""A folder that this user may not search: what lies in it is named, and the missing right."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import load_agent
from perdure.cli.files import check_written
from perdure.cli.main import main
from perdure.errors import ConfigurationError

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="takes rights of users")

AGENT = """
from perdure import Agent, InputEvent, OutputEvent, action


class Echo(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        ctx.send_event(OutputEvent(output=event.input))


agent = Echo
"""
FILES = {"shut_agent.py": AGENT, "in.jsonl": '{"id": 1}\n', "some.yaml": "max-runs-in-flight: 3\n"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two folders of the same files: `seen`, and `shut`, which can be shut."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in (tmp_path / "seen", tmp_path / "shut", tmp_path / "shut" / "below"):
        folder.mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)
    yield tmp_path
    sys.modules.pop("shut_agent", None)


@contextlib.contextmanager
def shut(files: Path) -> Iterator[None]:
    """Take the right to search `shut` from the user that this process is meanwhile."""
    is_root = os.geteuid() == 0
    if is_root:  # who may search any folder: become another user, who gets to this one
        for folder in (files, *files.parents):
            if folder.is_relative_to(tempfile.gettempdir()) and folder.stat().st_uid == 0:
                folder.chmod(folder.stat().st_mode | 0o055)
    (files / "seen").chmod(0o777)
    (files / "shut").chmod(0o644)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        (files / "shut").chmod(0o755)


def run_of(agent: Path, input_: Path, store: Path, *more: str) -> list[str]:
    return [
        "run", f"{agent}:agent", "--input", str(input_), "--key", "id", "--quiet",
        "--store", f"sqlite:///{store}", *more,
    ]  # fmt: skip


def commands(files: Path, what: str) -> dict[str, list[str]]:
    """Commands by what of theirs lies in the folder `what`, the rest in `seen`."""
    here, there = files / "seen", files / what
    name = "shut_agent.py"
    return {
        "store": ["runs", "--store", f"sqlite:///{there}/s.db"],
        "job": run_of(here / name, here / "in.jsonl", there / "s.db"),
        "agent": run_of(there / name, here / "in.jsonl", here / f"{there.name}-1.db"),
        "input": run_of(here / name, there / "in.jsonl", here / f"{there.name}-2.db"),
        "config": run_of(
            here / name,
            here / "in.jsonl",
            here / f"{there.name}-3.db",
            "--config",
            str(there / "some.yaml"),
        ),
        "output": run_of(
            here / name,
            here / "in.jsonl",
            here / f"{there.name}-4.db",
            "--output",
            str(there / "out.jsonl"),
        ),
    }


SAID = {
    "store": "cannot be opened: this user may not search the folder {shut}; give it that right",
    "job": "cannot be opened: this user may not search the folder {shut}; give it that right",
    "agent": "cannot be read: Permission denied: give this user the right to search its folder",
    "input": "Permission denied: give this user the right to search its folder",
    "config": "Permission denied: check the path and its permissions",
    "output": "Permission denied: check the folder and its permissions",
}


@pytest.mark.parametrize("folder", ["shut", "shut/below"])
@pytest.mark.parametrize("what", SAID)
def test_a_folder_that_may_not_be_searched_is_said(
    what: str, folder: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in ("job", what):  # which imports what the other user may not read
        assert main(commands(files, "seen")[each]) == 0
    capsys.readouterr()
    given = commands(files, folder)[what]
    with shut(files):
        assert main(given) in (1, 2)
    told = capsys.readouterr().err
    line = next(line for line in told.splitlines() if line.startswith("perdure: "))
    assert SAID[what].format(shut=files / "shut") in line
    assert str(files / folder) in line
    assert "Error" not in told


@pytest.mark.parametrize("folder", ["shut", "shut/below"])
def test_a_yaml_file_in_it_is_said(folder: str, files: Path) -> None:
    with (
        shut(files),
        pytest.raises(ConfigurationError, match=r"some\.yaml cannot be read: Permission denied"),
    ):
        load_agent(files / folder / "some.yaml")


def test_what_cannot_be_written_at_the_end_is_refused_before(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, *_rest, **_more: path != str(files / "shut"))
    check_written("--summary-json", "/dev/stdout", "memory://")
    check_written("--summary-json", str(files / "seen" / "s.json"), "memory://")
    with pytest.raises(ConfigurationError, match=r"s\.json: this user may not write in the folder"):
        check_written("--summary-json", str(files / "shut" / "s.json"), "memory://")
