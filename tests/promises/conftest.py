"""Fixtures of the promise tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises import support
from tests.promises.clock import Clock

TEST_SECONDS = round(
    2 * PATIENCE
)  # a test that waits for what never happens fails instead of hanging


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    support.reset()


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    def give_up(*_: Any) -> None:
        raise TimeoutError(f"the test was not over after {TEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store, of both kinds in turn."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'promises.db'}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The wall clock of the jobs that the test opens."""
    return Clock(monkeypatch)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a new SQLite store."""
    return f"sqlite:///{tmp_path / 'promises.db'}"


@pytest.fixture(params=[support.COROUTINE, support.PLAIN, support.OFF])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of action in turn: coroutine, plain, plain without continuations."""
    return str(request.param)
