"""Soon: has runs tell those who look from outside what they do, unless it is over by then."""

from __future__ import annotations

import asyncio
import collections
from typing import Protocol

APART = 0.025  # seconds between two looks at those that are to tell
ROUNDS = 2  # whole ones between looks that a run has before it tells


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
        # By the look before which they came, so that nobody has to keep the time for each.
        self._rounds: collections.deque[list[Teller]] = _no_rounds()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, teller: Teller) -> None:
        """Have a run tell after a moment."""
        if self._timer is None:
            self._rounds[1].append(teller)  # as if it had come just before a look
            self._timer = self._host.call_later(APART, self._look)
        else:
            self._rounds[-1].append(teller)

    def close(self) -> None:
        """Let go of all."""
        self._rounds = _no_rounds()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        told = self._rounds.popleft()
        self._rounds.append([])
        self._timer = self._host.call_later(APART, self._look) if any(self._rounds) else None
        for teller in told:
            if not teller.dropped:
                teller.tell()


def _no_rounds() -> collections.deque[list[Teller]]:
    return collections.deque([] for _ in range(ROUNDS + 1))
