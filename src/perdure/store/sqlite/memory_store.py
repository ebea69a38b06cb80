"""The store in memory: what it holds goes with the engine."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

from perdure.store.base import Command, JobAgent, JobInfo, Row, StoreView
from perdure.store.sqlite.memory_view import MemoryView
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.write import TakesTime


class MemoryStore(SqliteStore):
    """`memory://`: the same store without a file; what it holds goes with the engine."""

    def __init__(self) -> None:
        super().__init__(None)
        self._guard = threading.Lock()  # there is one connection, for the views as well

    def view(self) -> StoreView:
        return MemoryView(
            lambda: self._connection,
            self._guard,
            lambda: self.job if self._thread is not None else 0,
        )

    async def commands(self) -> list[Command] | None:
        self._seen_version = -1  # there is one connection, so its version never changes
        return await super().commands()

    def _open(self, job: str, agent: JobAgent | None, fresh: bool) -> JobInfo:
        is_new = self._connection is None
        try:
            with self._guard:
                return super()._open(job, agent, fresh)
        finally:
            if is_new and self._connection is not None:
                weakref.finalize(self, self._connection.close)

    def _close(self) -> None:
        with self._guard:
            super()._close()

    def _write(self, rows: Sequence[Row], patient: bool) -> None:
        if not patient and self._guard.locked():
            raise TakesTime  # a view reads: the host loop does not wait for it
        with self._guard:  # for as long as it takes a view that has just begun
            super()._write(rows, patient)
