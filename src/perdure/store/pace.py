"""On which thread a commit is written, and on which the disk is waited for.

Beside a busy event loop a thread waits for the interpreter's lock at each step of a statement, and
has the loop wait in turn: a commit written there takes twice the processor's time, and longer. So
commits are written on the loop's own thread, unless one may take long. The disk is waited for on
the store's thread. That hand-over takes 40 to 80 µs; where the disk flushes in about that time, a
lone small commit is quicker flushed on the loop's thread too, and blocks it for no longer than a
callback would.
"""

from __future__ import annotations

MOST = 2048  # rows of a commit that is written on the loop's thread: some milliseconds
SMALL = 4  # rows of a commit that may be flushed there too
QUICK_SECONDS = 0.001  # a commit that takes longer, flush included, is not quick
PROVEN = 8  # quick small commits before one is flushed on the loop's thread
CREDIT = 16  # quick ones that count: each slow one takes back half
SLOW_SECONDS = 0.02  # writing alone: the disk does not take what is written, or another has a lock
AWAY = 64  # commits that are written on the store's thread after one that was slow to write


class CommitPace:
    """Watches how long commits take.

    A disk has a slow moment now and then, a new store's more often: its log grows. So one slow
    commit does not undo what many have proven, and two in a row do.

    Owns: the number of quick ones, less what slow ones took back, and of those that are yet to be
    written on the store's thread. Used by the loop's thread alone.
    """

    def __init__(self) -> None:
        self._quick = 0
        self._away = 0

    def writes_here(self, rows: int) -> bool:
        """Say whether the next commit, of so many rows, should be written on the loop's thread."""
        if self._away:
            self._away -= 1
            return False
        return rows <= MOST

    def flushes_here(self, rows: int) -> bool:
        """Say whether the disk should be waited for on the loop's thread."""
        return rows <= SMALL and self._quick >= PROVEN

    def wrote(self, seconds: float) -> None:
        """Take note of how long a commit took on the loop's thread, without the disk."""
        if seconds > SLOW_SECONDS:
            self._away = AWAY

    def took(self, rows: int, seconds: float) -> None:
        """Take note of how long a commit took, with the disk."""
        if seconds <= QUICK_SECONDS:
            self._quick = min(self._quick + 1, CREDIT)
        elif rows <= SMALL:  # a large one says nothing about small ones
            self._quick //= 2

    def failed(self) -> None:
        """Take note that a commit failed: the next ones go to the thread, which can wait."""
        self._quick, self._away = 0, AWAY
