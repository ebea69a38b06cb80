"""Threads switch sooner while a store's thread is at work, and as before after it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.store import switching
from perdure.store.sqlite.memory_store import MemoryStore
from perdure.store.sqlite.store import SqliteStore
from perdure.store.switching import SECONDS


@pytest.fixture(autouse=True)
def interval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Another test of this process may have left a store open, as applications do that are killed.
    monkeypatch.setattr(switching._Process, "threads", 0)
    monkeypatch.setattr(switching._Process, "before", None)
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_the_last_store_that_closes_puts_it_back(tmp_path: Path) -> None:
    async def main() -> None:
        one, other = SqliteStore(tmp_path / "one.db"), MemoryStore()
        for store in (one, other):
            await store.open("job")
            assert sys.getswitchinterval() == pytest.approx(SECONDS)
        await one.close()
        await one.close()
        assert sys.getswitchinterval() == pytest.approx(SECONDS)
        await other.close()
        assert sys.getswitchinterval() == pytest.approx(0.005)

    asyncio.run(main())


def test_what_the_application_has_chosen_stays_where_it_is_sooner(tmp_path: Path) -> None:
    sys.setswitchinterval(0.0001)

    async def main() -> None:
        store = SqliteStore(tmp_path / "one.db")
        await store.open("job")
        assert sys.getswitchinterval() == pytest.approx(0.0001)
        await store.close()
        assert sys.getswitchinterval() == pytest.approx(0.0001)

    asyncio.run(main())


def test_a_store_that_cannot_be_opened_puts_it_back(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "folder.db").mkdir()
        with pytest.raises(Exception, match="is a folder"):
            await SqliteStore(tmp_path / "folder.db").open("job")
        assert sys.getswitchinterval() == pytest.approx(0.005)

    asyncio.run(main())
