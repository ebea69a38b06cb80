"""OwnLoop: an event loop on a thread of its own, for what is a coroutine here and plain there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["OwnLoop"]

T = TypeVar("T")


class OwnLoop:
    """Runs coroutines for callers on any thread, who wait for the result.

    Owns: the loop and its thread, from the first use until `close`.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; blocks the calling thread meanwhile."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; it is cancelled where the one that waits is."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="perdure-flink-agents", daemon=True
                )
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Stop the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
