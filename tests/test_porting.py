"""docs/porting-from-flink-agents.md: what it calls the same is used as a Flink Agents user would.

Each row that says "the same" has a check in tests/porting that runs the names of its first cell and
looks at what they mean; each of the differences has one, or a test of its own that proves it. A row
without a check fails, as does a check without a row.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.porting import differences, same_in_agents, same_in_models
from tests.porting.page import (
    DIFFERENCES,
    DIFFERENT,
    PROJECT,
    SAME,
    SAME_ROWS,
    section,
)
from tests.promises.support import reset

import perdure

CHECKS = (same_in_agents, same_in_models, differences)  # imported, they are marked
PROVED_IN = {  # differences that tests of their own prove
    "Coroutines": "tests/promises/test_concurrency.py",
    "Own types": "tests/promises/test_own_modules.py",
    "Rules": "tests/replay",
    "Retries of models": "tests/promises/test_chat_failures.py",
}


def test_every_row_that_says_the_same_has_a_check_and_every_check_a_row() -> None:
    assert len(SAME_ROWS) > 15
    assert sorted(SAME) == sorted(SAME_ROWS)


def test_every_difference_has_a_check_or_a_test_and_every_check_a_difference() -> None:
    assert sorted([*DIFFERENT, *PROVED_IN]) == sorted(DIFFERENCES)
    assert all((PROJECT / place).exists() for place in PROVED_IN.values())
    assert len(re.findall(r"^- ", section("Differences"), re.MULTILINE)) == len(DIFFERENCES)


def test_the_names_that_are_the_same_are_importable_from_perdure() -> None:
    words = {word for row in SAME_ROWS for word in re.findall(r"`@?([A-Za-z_]+)", row)}
    named = {word for word in words if word[0].isupper() and not word.isupper()}
    decorators = set(re.findall(r"`@([a-z_]+)`", " ".join(SAME_ROWS)))
    assert len(named) > 25
    assert [name for name in sorted(named | decorators) if not hasattr(perdure, name)] == []


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that nobody names be the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("row", SAME_ROWS)
def test_what_is_called_the_same_is(row: str) -> None:
    reset()
    SAME[row]()


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("name", [name for name in DIFFERENCES if name not in PROVED_IN])
def test_what_is_called_different_is(name: str) -> None:
    reset()
    DIFFERENT[name]()
