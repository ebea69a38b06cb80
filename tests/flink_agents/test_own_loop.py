"""The event loop behind plain calls of connections."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import pytest
from tests.patience import PATIENCE

from perdure.flink_agents.border.own_loop import OwnLoop


async def _value(value: int) -> int:
    return value


def test_what_waits_for_one_that_is_closed_is_cancelled_and_it_begins_anew() -> None:
    loop, begun = OwnLoop(), threading.Event()

    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(loop.run, waits())
        assert begun.wait(PATIENCE)
        loop.close()
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result(PATIENCE)
    assert loop.run(_value(1)) == 1
    loop.close()
    loop.close()
