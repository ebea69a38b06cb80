"""OpenedFile: whether the file that a connection has open is still the store at its path."""

from __future__ import annotations

import os
import time

from perdure.same_file import is_still
from perdure.store.ownership import Place

__all__ = ["OpenedFile"]

EVERY_SECONDS = 0.05  # between two looks at least: each asks the system


class OpenedFile:
    """The store's file, made before it is opened: no other one has its number while it is open.

    Args:
        place: where it is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._due = 0.0
        try:
            self._known: os.stat_result | None = os.stat(place.path)
        except OSError:
            self._known = None  # who opens it says what is wrong

    @property
    def is_old(self) -> bool:
        """Whether at the path is none any more, or another; looked at every now and then."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + EVERY_SECONDS
        return self._known is None or not is_still(self._place.path, self._known)
