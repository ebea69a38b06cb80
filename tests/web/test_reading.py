"""A store that is read while it is closed: nobody waits for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine
from perdure.errors import StoreError
from perdure.operate.history import AsyncHistory, History, JobRow
from perdure.web.reading import Reader


@pytest.fixture
def url(tmp_path: Path) -> str:
    async def nothing(event: Any, ctx: Any) -> None:
        return

    url = f"sqlite:///{tmp_path / 'read.db'}"
    LocalEngine(url, job="job").run(Agent().add_action("go", InputEvent, nothing), [1], key=str)
    return url


def test_what_waits_for_a_look_that_never_ends_is_cancelled_with_it(url: str) -> None:
    history = History.open(url)

    async def waits() -> None:
        await asyncio.Event().wait()

    waiting = history.begin(waits())
    history.close()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(PATIENCE)


async def test_a_reader_is_closed_when_what_it_reads_is_read(url: str) -> None:
    reader = Reader(lambda: History.open(url), None)
    begun, goes_on = threading.Event(), threading.Event()

    async def slow(history: AsyncHistory, job: JobRow) -> str:
        begun.set()
        await asyncio.to_thread(goes_on.wait, PATIENCE)
        return (await history.job(job.name)).name

    reading = asyncio.ensure_future(reader.read(slow))
    await asyncio.to_thread(begun.wait, PATIENCE)
    closing = asyncio.ensure_future(reader.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="the service was closed"):
        await reader.read(slow)
    goes_on.set()
    assert await reading == "job"
    await closing


async def test_a_reader_that_is_closed_while_it_opens_reads_nothing(url: str) -> None:
    opens = threading.Event()

    def open_slowly() -> History:
        opens.wait(PATIENCE)
        return History.open(url)

    async def never(history: AsyncHistory, job: JobRow) -> None:
        raise AssertionError("it was closed")

    reader = Reader(open_slowly, None)
    reading = asyncio.ensure_future(reader.read(never))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(reader.close())
    await asyncio.sleep(0)
    opens.set()
    with pytest.raises(StoreError, match="the service was closed"):
        await reading
    await closing
