"""Soon: has runs tell those who look from outside what they do, unless it is over by then."""

from __future__ import annotations

import asyncio
import collections
from typing import Protocol

SECONDS = 0.05  # after which a run tells
APART = 0.025  # between two looks at those that are to tell


class Teller(Protocol):
    """A run."""

    dropped: bool

    def tell(self) -> None:
        """Write what is seen from outside, as far as that is not written."""


class Soon:
    """The runs that have begun a moment ago, or have something to say since then.

    What is short costs no commit for that: it is over before its turn comes.

    Owns: these runs, one timer of the host loop. Lifecycle: made when the job opens; `close` lets
    go. On the host loop.
    """

    def __init__(self) -> None:
        self._host = asyncio.get_running_loop()
        self._tellers: collections.deque[tuple[float, Teller]] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, teller: Teller) -> None:
        """Have a run tell after a moment."""
        self._tellers.append((self._host.time() + SECONDS, teller))
        if self._timer is None:
            self._timer = self._host.call_later(SECONDS, self._look)

    def close(self) -> None:
        """Let go of all."""
        self._tellers.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._host.time()
        while self._tellers and self._tellers[0][0] <= now:
            teller = self._tellers.popleft()[1]
            if not teller.dropped:
                teller.tell()
        left = self._tellers
        wait = max(left[0][0] - now, APART) if left else 0.0
        self._timer = self._host.call_later(wait, self._look) if left else None
