"""JobLoop: the one event loop on which an open job may be used."""

from __future__ import annotations

import asyncio
import os
import threading

from perdure.errors import PerdureError, StoreError
from perdure.executor.loop import ActionLoop
from perdure.executor.running import running_loop


class JobLoop:
    """Refuses what is asked of an open job elsewhere than on its event loop, before it is begun.

    A job has no locks: half of what is asked from another thread would be done, and the rest would
    wait for ever.

    Lifecycle: `begin` on the job's loop when it opens, `end` when it closes. May be asked anywhere.

    Args:
        job: the job's name, for messages.
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = self._process = 0
        self._is_closed = False

    def begin(self) -> None:
        """Make this loop the job's."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._process = os.getpid()

    def end(self) -> None:
        """Refuse everything but looking: the job closes."""
        self._is_closed = True

    def raise_if_closed(self) -> None:
        """Tell whoever waited for the job, and is not cancelled, that it was closed meanwhile.

        Raises:
            StoreError: it was.
        """
        task = asyncio.current_task()
        if self._is_closed and not (task is not None and task.cancelling()):
            raise StoreError(
                f"job {self._job!r} was closed while this was waited for, which may not be done:"
                " open it again with engine.open and ask the job that this gives"
            ) from None

    def check(self, what: str) -> None:
        """Refuse what has to run on the job's loop.

        Args:
            what: the call as its maker writes it, such as "job.submit(...)".

        Raises:
            PerdureError: this is another loop's, thread's or forked process's code, or an action's.
            StoreError: the job was closed.
        """
        loop = running_loop()
        if loop is not self._loop:
            self._check_process(what)
            instead = f"use asyncio.run_coroutine_threadsafe({what}, loop)"
            if isinstance(loop, ActionLoop):
                instead = f"an action uses its context, such as ctx.submit; a callable, {instead}"
            raise PerdureError(f"{self._refused(what)}: {instead}")
        if self._is_closed:
            raise StoreError(
                f"{what}: job {self._job!r} was closed, so nothing was done: open it again with"
                " engine.open and use the job that this gives"
            )

    def check_thread(self, what: str) -> None:
        """Refuse what needs no loop, but has to be done on the job's thread; see `check`."""
        if threading.get_ident() != self._thread and not self._is_closed:
            raise PerdureError(
                f"{self._refused(what)}: use loop.call_soon_threadsafe of the job's loop, or a"
                " coroutine that does it and asyncio.run_coroutine_threadsafe(..., loop)"
            )

    def check_look(self, what: str) -> None:
        """Refuse looks from another thread's loop; a thread without one may; see `check`."""
        if running_loop() not in (None, self._loop):
            self.check_thread(what)

    def _check_process(self, what: str) -> None:
        if os.getpid() != self._process:
            raise PerdureError(
                f"{what} was called in a process (pid {os.getpid()}) that was forked from the one"
                f" which has job {self._job!r} open (pid {self._process}), so nothing was done:"
                " return values to that process, which alone can use the job"
            )

    def _refused(self, what: str) -> str:
        return (
            f"{what} was called on another thread or event loop than the one that opened job"
            f" {self._job!r}, so nothing was done"
        )
