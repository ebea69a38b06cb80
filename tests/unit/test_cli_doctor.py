"""`perdure doctor`: a line for each thing, a next step where something is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, action
from perdure.cli.main import main
from perdure.store.sqlite import health
from perdure.store.sqlite.file import MIGRATIONS


class Idle(Agent):
    @action(InputEvent)
    async def nothing(self, event: InputEvent, ctx: Any) -> None:
        """Take the input and send nothing."""


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(health, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(health, "SLOW_COMMITS", 0)


def lines(out: str) -> dict[str, tuple[str, str]]:
    """Subject -> status, text; of subjects of one word."""
    found = {}
    for line in out.splitlines():
        status, subject, text = line.split(maxsplit=2)
        found[subject] = (status, text)
    return found


def test_a_good_machine_is_all_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    found = lines(capsys.readouterr().out)
    assert {"python", "platform", "perdure", "continuations", "greenlet", "msgspec"} <= set(found)
    assert found["sqlite"] == ("ok", f"{sqlite3.sqlite_version} (FTS5)")
    assert found["commits"][0] == "ok"
    assert "WAL, synchronous FULL" in found["commits"][1]
    assert "store" not in found


def test_a_store_is_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    LocalEngine(url, job="idle").run(Idle, [{"id": 1}, {"id": 2}], key="id")
    assert main(["doctor", "--store", url]) == 0
    status, text = lines(capsys.readouterr().out)["store"]
    assert status == "ok"
    assert f"schema version {len(MIGRATIONS)}: job idle (2 completed)" in text


@pytest.mark.parametrize("content", [None, b"no database at all, but of some length " * 50])
def test_a_store_that_cannot_be_read_fails(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runs.db"
    if content is not None:
        file.write_bytes(content)
    assert main(["doctor", "--store", f"sqlite:///{file}"]) == 1
    status, text = lines(capsys.readouterr().out)["store"]
    assert status == "fail"
    assert str(file) in text
    assert "--store" in text


def test_a_store_elsewhere_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--store", "mysql://db"]) == 1
    assert lines(capsys.readouterr().out)["store"][0] == "fail"


def test_missing_continuations_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import perdure.executor.continuation as continuation

    monkeypatch.setattr(continuation, "greenlet", None)
    assert main(["doctor"]) == 0
    status, text = lines(capsys.readouterr().out)["continuations"]
    assert status == "warn"
    assert "install greenlet" in text


def test_an_old_sqlite_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.20.0")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 20, 0))
    assert main(["doctor"]) == 1
    assert lines(capsys.readouterr().out)["sqlite"] == (
        "fail",
        "3.20.0: use a Python with SQLite 3.33.0 or newer",
    )


def test_slow_commits_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "SLOW_COMMITS", 1e9)
    assert main(["doctor"]) == 0
    assert lines(capsys.readouterr().out)["commits"][0] == "warn"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    assert main(["doctor", "--store", f"sqlite:///{tmp_path / 'none.db'}"]) == 1
    assert list(tmp_path.iterdir()) == []
