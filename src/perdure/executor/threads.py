"""Threads that are asked for again where the system refuses one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from perdure.printable import printable_logger

logger = printable_logger("perdure")

FIRST_TRY_AGAIN = 0.1  # seconds until a thread is asked for again after the system refused one
LAST_TRY_AGAIN = 5.0


class ThreadStarter:
    """Starts daemon threads; after a refusal it has them asked for again, and says so once.

    Owns: when that is. Lifecycle: on the host loop's thread, until `close`.

    Args:
        host: the host loop.
        ask_again: called on it some time after a refusal; it is to start what is still wanted.
    """

    def __init__(self, host: asyncio.AbstractEventLoop, ask_again: Callable[[], None]) -> None:
        self._host = host
        self._ask_again = ask_again
        self._try_again: asyncio.TimerHandle | None = None
        self._pause = FIRST_TRY_AGAIN
        self.refused = False  # the system gave no thread when one was last asked for

    def start(self, work: Callable[[], None], name: str, *, refusal: str) -> bool:
        """Start a thread and return True; False where the system gives none now.

        Args:
            work: what it does.
            name: its name.
            refusal: what is said of a refusal, with a %s for the error.
        """
        try:
            threading.Thread(target=work, name=name, daemon=True).start()
        except (RuntimeError, MemoryError, OSError) as error:  # no room for it, or for its stack
            if not self.refused:
                self.refused = True
                logger.warning(refusal, error)
            if self._try_again is None:
                self._try_again = self._host.call_later(self._pause, self._again)
                self._pause = min(2 * self._pause, LAST_TRY_AGAIN)
            return False
        self.refused = False
        self._pause = FIRST_TRY_AGAIN
        return True

    def _again(self) -> None:
        self._try_again = None
        self._ask_again()

    def close(self) -> None:
        """Ask for no thread any more."""
        if self._try_again is not None:
            self._try_again.cancel()
