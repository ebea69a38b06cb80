"""Fixtures of all tests.

A test that runs an event loop asks for `no_blocking`, alone or for its module with
`pytestmark = pytest.mark.usefixtures("no_blocking")`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import blockbuster
import pytest
from tests import zygote

# Names of `perdure` itself say this; a file that names modules alone may be run alone.
import perdure.integrations.providers  # noqa: F401

# The event loop of the host in all tests, and in the processes that they start.
EVENT_LOOP = os.environ.get("PERDURE_TEST_EVENT_LOOP", "asyncio")
zygote.use_event_loop(EVENT_LOOP)


def pytest_collection_finish() -> None:
    """Spare the collector what all tests have, a million objects: it is looked at no more."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """End the processes that stood by to be forked."""
    zygote.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    """Let reports with lone surrogates in what was logged pass from one process to another."""
    report = yield
    report.sections = [(name, _storable(text)) for name, text in report.sections]
    return report


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Name the module that leaves a socket, a loop, a file or a store to the collector.

    Otherwise the test would fail in which the collector happens to run.
    """
    yield
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
    left = [str(each.message) for each in told if issubclass(each.category, ResourceWarning)]
    assert not left, f"the tests of this module have not closed: {', '.join(left)}"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the settings of whoever runs the tests out, and leaks of one test out of the next."""
    for name in [name for name in os.environ if name.startswith("PERDURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PERDURE_EVENT_LOOP", EVENT_LOOP)
    yield
    left = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    assert left is None, f"the test left a running event loop behind: {left!r}"


@pytest.fixture
def no_blocking() -> Iterator[None]:
    """Fail a test in which perdure blocks an event loop, the host's or an action's."""
    with blockbuster.blockbuster_ctx("perdure") as guard:
        for function in guard.functions.values():
            # The thread of the sequential fallback is meant to wait; the host never does.
            function.can_block_in("perdure/executor/fallback.py", "park")
            function.can_block_in("perdure/executor/fallback.py", "on_host")
            # When a job opens it reads the agent's few files, on no thread: see `JobRuntime`.
            function.can_block_in("perdure/agent/own_source.py", "source_digest")
            # What takes no longer than a callback would: see `store/pace.py`.
            function.can_block_in("perdure/store/sqlite/commits.py", "_commit_here")
        yield


@pytest.fixture
def no_noise(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may be complained of when actions are forgotten: no task, no coroutine, no hook."""
    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    yield
    gc.collect()
    assert [hooked.exc_value for hooked in ignored] == []
    assert "was destroyed" not in caplog.text
    assert "never retrieved" not in caplog.text
