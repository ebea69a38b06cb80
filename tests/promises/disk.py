"""A disk that is full: a limit of the size of files, met where that of the disk is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.promises.support import SECONDS

from perdure.store import group_commit
from perdure.store.sqlite.store import SqliteStore

resource = pytest.importorskip("resource")


class Disk:
    """The disk of a store.

    Args:
        store: the store's URL.
        monkeypatch: counts the probes, and has them come quickly.
    """

    def __init__(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = Path(store.removeprefix("sqlite:///"))
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.probes = 0
        real = SqliteStore.probe

        async def counted(store: SqliteStore, size: int) -> None:
            self.probes += 1
            await real(store, size)

        monkeypatch.setattr(SqliteStore, "probe", counted)
        monkeypatch.setattr(group_commit, "LONGEST_WAIT", 0.1)

    def fill(self) -> None:
        """Let no file of the store grow."""
        files = self._path.parent.glob(f"{self._path.name}*")
        size = max(file.stat().st_size for file in files)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._before[1]))

    def free(self) -> None:
        """Make room."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    async def probed(self, times: int = 4) -> None:
        """Return when the store has been tried so many times more."""
        wanted = self.probes + times
        async with asyncio.timeout(SECONDS):
            while self.probes < wanted:
                await asyncio.sleep(0.01)
