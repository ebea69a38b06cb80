"""Tests in a real browser: one Chromium for all that a process runs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Browser
from tests.browser.world import CHROMIUM, chromium


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out.

    Playwright's event loop is this thread's running one as long as a browser is open, so that here
    a loop that is left behind means nothing; what needs one has a thread of its own.
    """
    for name in [name for name in os.environ if name.startswith("PERDURE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Yield the browser; where there is none the test is skipped."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: the page is not looked at")
    with chromium() as found:
        yield found
