"""OwnLoop: an event loop on a thread of its own, for what is a coroutine here and plain there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["OwnLoop"]

T = TypeVar("T")
CANCEL_SECONDS = 10.0  # for what is under way at the end


class OwnLoop:
    """Runs coroutines for callers on any thread, who wait for the result.

    Owns: the loop and its thread, from the first use until `close`, which cancels what is under
    way: nobody waits for it for ever.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; blocks the calling thread meanwhile."""
        return self._begin(work).result()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; it is cancelled where the one that waits is."""
        return await asyncio.wrap_future(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:  # so that it is there before the end, or on another loop
            if self._loop is None:
                self._loop, self._ended = asyncio.new_event_loop(), asyncio.Event()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop, self._ended),
                    name="perdure-flink-agents", daemon=True,
                )  # fmt: skip
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is not None:
                loop.call_soon_threadsafe(self._ended.set)
        if thread is not None:
            thread.join()


def _serve(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    try:
        loop.run_until_complete(_cancelled_at(ended))
    finally:
        loop.close()


async def _cancelled_at(ended: asyncio.Event) -> None:
    await ended.wait()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CANCEL_SECONDS)
