"""How soon threads of this process get Python's interpreter lock while a store's thread is at work.

The thread gives the lock back around each step of a statement and each flush of the disk. A thread
that wants it back waits until its holder lets go, five milliseconds as Python comes: beside a busy
event loop a commit of a few steps takes longer by that than by the disk, and what is executed
meanwhile is not recorded yet.
"""

from __future__ import annotations

import sys
import threading

SECONDS = 0.0005


class _Process:
    """The setting, which is the whole process's: its stores may be open on several threads."""

    lock = threading.Lock()
    threads = 0
    before: float | None = None


def quicken() -> None:
    """A store's thread begins: have threads switch sooner, where the application does not."""
    with _Process.lock:
        _Process.threads += 1
        current = sys.getswitchinterval()
        if _Process.threads == 1 and current > SECONDS:
            _Process.before = current
            sys.setswitchinterval(SECONDS)


def slow_down() -> None:
    """A store's thread ends: after the last one the setting is as it was before the first."""
    with _Process.lock:
        _Process.threads -= 1
        if _Process.threads == 0 and _Process.before is not None:
            sys.setswitchinterval(_Process.before)
            _Process.before = None
