"""Fixtures of the promise tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.promises import support


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    support.reset()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store, of both kinds in turn."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'promises.db'}"


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a new SQLite store."""
    return f"sqlite:///{tmp_path / 'promises.db'}"


@pytest.fixture(params=[support.COROUTINE, support.PLAIN, support.OFF])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of action in turn: coroutine, plain, plain without continuations."""
    return str(request.param)
