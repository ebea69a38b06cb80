"""A forked child that comes back from the code of a job: it ends at once.

An action or a callable may fork: the children of `multiprocessing` and of process pools run code of
their own, and end in there. One that comes back goes on with copies: of an event loop whose set of
epoll it shares with its parent, so that it takes the parent's wake-ups, or by an orderly end its
registrations; of calls under way, which would be made twice; of a store that is closed to it. So
it ends without any cleanup.

What begins the job's code keeps `process`, and compares it where that code comes back: nobody asks
the system. Who comes back elsewhere (a task that a callable started, a resource that is opened)
gets as far as the loop.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import NoReturn, Protocol

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h

process = object()  # this process: another object in each forked child


class Starter(Protocol):
    """Who starts the job's code."""

    def forked(self) -> None:
        """Told in a forked child, before its code goes on: start nothing, end what comes back."""


_starters: weakref.WeakSet[Starter] = weakref.WeakSet()


def begin(starter: Starter) -> None:
    """Have `starter` told in children that are forked from now on, until `end`."""
    _starters.add(starter)


def end(starter: Starter) -> None:
    """The starter starts nothing any more."""
    _starters.discard(starter)


def end_child() -> NoReturn:
    """End this process, a forked child that came back, and say so on its stderr."""
    text = (
        f"perdure: process {os.getpid()}, which code of a job forked from process {os.getppid()},"
        " came back from that code and was ended, as it has nothing of the job; its parent goes"
        " on: end such a child with os._exit() in the code that forks it, or use multiprocessing"
        " or a process pool\n"
    )
    # Not sys.stderr: a thread that is not here may have held its lock.
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
    os._exit(EXIT_CODE)


def _forked() -> None:
    global process
    process = object()
    for starter in list(_starters):
        starter.forked()
    _starters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
