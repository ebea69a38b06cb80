"""Series: inputs that keep their order although some of them are not admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from perdure.errors import EncodeError, PerdureError, StoreError


class NotAdmittedError(PerdureError):
    """An input was not admitted since its key is full and the job drains."""

    def __init__(self) -> None:
        super().__init__(
            "the input was not admitted: its key waits, as many runs are queued behind runs that"
            " wait as may be (max-runs-queued), and the job drains; submit it when it is next open"
        )


class Series:
    """Inputs that keep their order: behind one that is refused, or was lost, none is admitted.

    Args:
        passes_over: an input that cannot be journaled does not count as refused.
        hold_up: told of an input, by the future of its admission, that it waits since its key is
            full (True; perhaps more than once), or does so no more.
    """

    def __init__(
        self,
        *,
        passes_over: bool = False,
        hold_up: Callable[[asyncio.Future[Any], bool], None] = lambda future, waits: None,
    ) -> None:
        self._passes_over = passes_over
        self.hold_up = hold_up
        self._refused: tuple[int, Exception] | None = None
        self._lost: tuple[int, StoreError] | None = None
        self._members = 0

    def next_place(self) -> int:
        """Return the place of the next input."""
        self._members += 1
        return self._members

    def refuse(self, place: int, error: Exception) -> None:
        """Take note that the input at `place` was refused."""
        if self._passes_over and isinstance(error, EncodeError):
            return
        if self._refused is None or place < self._refused[0]:
            self._refused = (place, error)

    def refused_before(self, place: int) -> Exception | None:
        """Return why an input before `place` was refused or lost, None where none was."""
        for before in (self._refused, self._lost):
            if before is not None and before[0] < place:
                return before[1]
        return None

    def lose(self, place: int, error: StoreError) -> None:
        """Take note that the store lost the input at `place`, or nobody knows."""
        if self._lost is None or place < self._lost[0]:
            self._lost = (place, error)

    def begin_again(self) -> None:
        """What was lost is about to be submitted again, in its order."""
        self._lost = None
