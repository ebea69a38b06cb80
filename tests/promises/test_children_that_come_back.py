"""G22: a forked child that comes back from the code of a job ends at once; its parent goes on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.zygote import run

PLACES = [
    "action", "task of an action", "plain", "plain fallback", "first step", "later step",
    "last step", "task of a callable", "awaitable", "thread", "inline", "sink", "source",
    "resource",
]  # fmt: skip

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(autouse=True, params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop of the jobs: each in turn."""
    pytest.importorskip(request.param)
    monkeypatch.setenv("PERDURE_EVENT_LOOP", request.param)


def ended(place: str, way: str, store: str) -> tuple[list[Any], list[int], str]:
    """Return the outputs of a job in which is forked, the child's exit code, and stderr."""
    script = str(Path(__file__).with_name("forking.py"))
    ignoring = ["-W", "ignore::DeprecationWarning"]  # of forks where there are threads
    process = run([sys.executable, *ignoring, script, place, way, store], timeout=PATIENCE)
    assert process.returncode == 0, process.stderr
    outputs, codes = json.loads(process.stdout)
    said = process.stderr.splitlines(keepends=True)
    # A fork may take long, and whoever waits for a child blocks the loop: it is said so.
    return outputs, codes, "".join(line for line in said if "blocked the event loop" not in line)


def assert_was_ended(said: str) -> None:
    # From 3.14 on asyncio may tell first of a task that ends where none has begun.
    told = [line for line in said.splitlines() if line.startswith("perdure: process ")]
    assert len(told) == 1, said
    assert "came back from that code and was ended" in told[0]
    assert said.endswith(f"{told[0]}\n")
    assert sys.version_info >= (3, 14) or said == f"{told[0]}\n"


@pytest.mark.parametrize("place", PLACES)
def test_g22_a_child_that_comes_back_is_ended(place: str, store: str) -> None:
    outputs, codes, said = ended(place, "return", store)
    assert (outputs, codes) == (["a", "b"], [70])
    assert_was_ended(said)


@pytest.mark.parametrize("way", ["raise", "exit"])
@pytest.mark.parametrize("place", ["action", "plain", "first step", "thread", "sink", "source"])
def test_g22_nor_does_a_child_come_back_by_an_exception(place: str, way: str) -> None:
    outputs, codes, said = ended(place, way, "memory://")
    assert (outputs, codes) == (["a", "b"], [70])
    assert_was_ended(said)


@pytest.mark.parametrize("way", ["run", "process", "pool"])
@pytest.mark.parametrize("place", ["before", "action", "plain", "first step", "thread", "source"])
def test_g22_a_child_that_ends_by_itself_runs_a_job_of_its_own(place: str, way: str) -> None:
    outputs, codes, said = ended(place, way, "memory://")
    assert (outputs, set(codes), said) == (["a", "b"], set() if way == "pool" else {0}, "")
