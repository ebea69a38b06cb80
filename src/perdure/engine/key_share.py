"""KeyShare: notices that nearly all inputs have one key, so that hardly anything overlaps."""

from __future__ import annotations

from typing import Any

from perdure.codec.brief import brief
from perdure.printable import printable_logger

logger = printable_logger("perdure")

FEWEST = 20  # inputs that say something about the rest
EARLY = 1000  # inputs after which it is said, however many follow


class KeyShare:
    """Counts by the majority vote of Boyer and Moore: one key and one number, whatever comes.

    What is left of the vote is at most the number of inputs with that key, and at least twice
    that number less all inputs: nine of ten inputs with one key leave eight of ten votes.
    """

    def __init__(self) -> None:
        self._inputs = 0
        self._key: Any = None
        self._votes = 0
        self._warned = False

    def add(self, key: Any, job: str) -> None:
        """Count an input; warn once enough are known."""
        self._inputs += 1
        if type(key) is type(self._key) and key == self._key:
            self._votes += 1
        elif self._votes:
            self._votes -= 1
        else:
            self._key, self._votes = key, 1
        if self._inputs == EARLY:
            self.warn(job)

    @property
    def is_lopsided(self) -> bool:
        """Whether nearly all inputs so far have one key: of nine in ten surely."""
        return self._inputs >= FEWEST and self._votes >= 0.8 * self._inputs

    def warn(self, job: str) -> None:
        """Warn, once, if nearly all inputs so far have one key."""
        if self._warned or not self.is_lopsided:
            return
        self._warned = True
        logger.warning(
            "job %r: nearly all of the first %d inputs have the key %s, and runs of one key follow"
            " each other: name a field that tells apart what may overlap (--key, key=)",
            job, self._inputs, brief((self._key,), {}, 60),
        )  # fmt: skip
