"""`perdure ui`: the page over a store, in which nothing is changed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.web.support import Desk

import perdure.cli.ui
from perdure import LocalEngine
from perdure.cli.main import main


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with a run that ended and one that waits, whose owner is gone."""
    url = f"sqlite:///{tmp_path / 'desk.db'}"

    async def fill() -> None:
        job = await LocalEngine(url, job="desk").start(Desk())
        try:
            await (await job.submit({"echo": 1}, key="a")).outputs()
            await job.submit({"ask": "buy"}, key="b")
        finally:
            await job.close()

    asyncio.run(fill())
    return url


def asked(url: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    """Return status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in b"{[" else text.decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def shown(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], look: Callable[[str, str | None], None]
) -> int:
    """Run `perdure ui`, call `look` with its address and token, end it; return the exit code."""
    failed: list[BaseException] = []
    lookers: list[threading.Thread] = []

    def look_and_end(url: str) -> None:
        base, _, token = url.partition("#token=")
        try:
            look(base, token or None)
        except BaseException as error:
            failed.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def printed(url: str, **_: Any) -> None:
        lookers.append(threading.Thread(target=look_and_end, args=[url]))
        lookers[0].start()

    monkeypatch.setattr(perdure.cli.ui, "print", printed, raising=False)
    code = main(["ui", "--port", "0", *arguments])
    for looker in lookers:
        looker.join()
    if failed:
        raise failed[0]
    assert lookers
    return code


def test_the_page_is_shown_over_a_store_that_nobody_runs(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(url: str, token: str | None) -> None:
        assert token
        assert "<title>perdure</title>" in asked(url, None)[1]
        assert asked(f"{url}runs", None)[0] == asked(f"{url}runs", "wrong")[0] == 401
        status, runs = asked(f"{url}runs", token)
        assert (status, [run["status"] for run in runs["runs"]]) == (200, ["waiting", "completed"])
        job = asked(f"{url}job", token)[1]
        assert (job["job"], job["is_served"], job["is_running"]) == ("desk", False, False)
        assert asked(f"{url}live", token) == (200, {"is_visible": False})
        for path, body in (
            ("runs", {"key": 1, "value": 1}), ("runs/r2/approve", {"approved": True}),
            ("runs/r2/cancel", {}),
        ):  # fmt: skip
            status, problem = asked(url + path, token, body)
            assert (status, "perdure serve" in problem["detail"]) == (403, True)

    assert shown(monkeypatch, ["--store", store], look) == 0
    said = capsys.readouterr().err
    assert "read-only" in said
    assert "#token=" not in said


def test_a_store_that_cannot_be_read_is_not_ready(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, aside = tmp_path / "desk.db", tmp_path / "aside.db"

    def look(url: str, token: str | None) -> None:
        def answered(status: int, said: str) -> None:
            end = time.monotonic() + PATIENCE  # the path is looked at every now and then
            while True:
                got, form = asked(f"{url}readyz", None)
                found = (got, form.get("reason", form["status"]))
                if found == (status, said) or time.monotonic() > end:
                    break
                time.sleep(0.01)
            assert found == (status, said)

        answered(200, "ready")
        path.rename(aside)
        answered(503, "the store is gone, or cannot be read")
        path.write_text("no store, but text that is long enough to be looked at" * 100)
        answered(503, "the store is damaged, or of another version")
        aside.replace(path)
        answered(200, "ready")
        with sqlite3.connect(path) as db:
            db.execute("UPDATE job SET name = 'other'")
        db.close()
        answered(503, "the store does not have the job")
        assert asked(f"{url}healthz", None)[0] == 200

    assert shown(monkeypatch, ["--store", store, "--job", "desk"], look) == 0


def test_without_a_token_it_is_said_who_may_read(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(url: str, token: str | None) -> None:
        assert token is None
        assert asked(f"{url}runs/r1", None)[1]["outputs"] == [1]

    assert shown(monkeypatch, ["--store", store, "--job", "desk", "--no-token"], look) == 0
    assert "may read all that job 'desk' has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--store", "sqlite:///{}/none.db"], 1, "none.db"),
        (["--store", "memory://"], 2, "memory"),
        (["--job", "other"], 1, "other"),
        (["--no-token", "--token", "long-enough"], 2, "--no-token"),
        (["--prefix", "a b"], 2, "prefix"),
        (["--host", "256.1.1.1"], 2, "256.1.1.1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_listens(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
    code: int, said: str,
) -> None:  # fmt: skip
    given = [each.format(tmp_path) for each in arguments]
    chosen = [] if "--store" in given else ["--store", store]
    assert main(["ui", "--port", "0", *chosen, *given]) == code
    told = capsys.readouterr()
    assert (told.out, len(told.err.strip().splitlines())) == ("", 1)
    assert said in told.err
