"""The browser that tests of the page look with: Chromium as the machine has it, one a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.browser.world import CHROMIUM, chromium
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect.set_options(timeout=PATIENCE / 3 * 1000)

_NONE = f"#### THE TESTS OF THE PAGE WERE NOT RUN: there is no {CHROMIUM} ####"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out; the driver's loop runs from test to test."""
    for name in [name for name in os.environ if name.startswith("PERDURE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; where there is none the test is skipped, in CI it fails."""
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(_NONE)
        pytest.skip(_NONE)
    with chromium() as found:
        yield found
    assert asyncio._get_running_loop() is None
