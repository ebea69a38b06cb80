"""`memory://` as seen from outside its job."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator

from perdure.errors import StoreError
from perdure.store.sqlite.view import READ, SqliteView

__all__ = ["MemoryView"]


class MemoryView(SqliteView):
    """`memory://` as seen from outside.

    Owns: a thread. The connection is the store's, so only one of them at a time writes.

    Args:
        connection: returns the store's connection, None before the store was first open.
        guard: held by whoever writes, and while the view reads.
        owned: returns the number of the job that has the store open, 0 without.
    """

    def __init__(
        self,
        connection: Callable[[], sqlite3.Connection | None],
        guard: threading.Lock,
        owned: Callable[[], int],
    ) -> None:
        super().__init__(None)
        self._shared = connection
        self._guard = guard
        self._owned = owned

    def _open(self) -> None:
        self._connection = self._shared()
        if self._connection is None:
            raise StoreError("nothing has run in this memory:// store yet")

    def _close(self) -> None:
        self._connection = None

    def _is_owned(self, job: str) -> bool:
        row = self._db.execute(READ["job"], {"name": job}).fetchone()
        return row is not None and row[0] == self._owned()

    @contextlib.contextmanager
    def _one_state(self) -> Iterator[None]:
        with self._guard, super()._one_state():
            yield
