"""When a commit costs less than handing it to the store's thread and back.

The hand-over takes 40 to 80 µs. Where the disk flushes in about that time, a lone small commit is
quicker made on the loop's own thread, and blocks the loop for no longer than a callback would. On
a slower disk, and for anything that may wait, the thread is the place.
"""

from __future__ import annotations

SMALL = 4  # rows of a commit that may be made in place
QUICK_SECONDS = 0.001  # a commit that takes longer is not quick
PROVEN = 8  # quick small commits before one is made in place
CREDIT = 16  # quick ones that count: each slow one takes back half
CHECKPOINT_EVERY = 512  # commits in place before the thread gets one, which may checkpoint


class CommitPace:
    """Watches how long small commits take.

    A disk has a slow moment now and then, a new store's more often: its log grows. So one slow
    commit does not undo what many have proven, and two in a row do.

    Owns: the number of quick ones, less what slow ones took back, and of those in place since the
    thread's last. Used by the loop's thread and the store's thread, never by both at a time.
    """

    def __init__(self) -> None:
        self._quick = 0
        self._in_place = 0

    def allows(self, rows: int) -> bool:
        """Say whether a commit of so many rows should be made in place."""
        return rows <= SMALL and self._quick >= PROVEN and self._in_place < CHECKPOINT_EVERY

    def took(self, rows: int, seconds: float, *, in_place: bool) -> None:
        """Take note of a commit."""
        may_checkpoint = not in_place and self._in_place >= CHECKPOINT_EVERY
        self._in_place = self._in_place + 1 if in_place else 0
        if seconds <= QUICK_SECONDS:
            self._quick = min(self._quick + 1, CREDIT)
        elif rows <= SMALL and not may_checkpoint:
            # A large one on the thread says nothing about small ones, nor does a checkpoint.
            self._quick //= 2

    def failed(self) -> None:
        """Take note that a commit failed: the next ones go to the thread, which can wait."""
        self._quick = self._in_place = 0
