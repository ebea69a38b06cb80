"""Tests of the web room are coroutines: each runs on an event loop of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import blockbuster
import pytest
from tests.patience import PATIENCE


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test; one that waits for what never happens fails instead of hanging."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})

    async def run() -> Any:
        async with asyncio.timeout(2 * PATIENCE):
            await test

    asyncio.run(run())
    return True


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    """Fail a test in which a service blocks the event loop; what the job itself does is others'."""
    with blockbuster.blockbuster_ctx("perdure.web"):
        yield
