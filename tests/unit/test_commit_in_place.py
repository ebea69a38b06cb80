"""Small commits on a quick disk are made on the loop's own thread, and nothing else is."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import StoreDataError
from perdure.store import pace
from perdure.store.base import Row, SinkRow
from perdure.store.pace import CommitPace
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.store_contract import StoreContract


class WatchedStore(SqliteStore):
    """Notes on which thread each commit was made; the disk is as quick as `seconds` says."""

    seconds: float | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.in_place: list[bool] = []
        took = self._pace.took

        def noting(rows: int, seconds: float, *, in_place: bool) -> None:
            self.in_place.append(threading.current_thread() is threading.main_thread())
            took(rows, seconds if self.seconds is None else self.seconds, in_place=in_place)

        self._pace.took = noting  # type: ignore[method-assign]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedStore:
    monkeypatch.setattr(pace, "PROVEN", 3)
    store = WatchedStore(tmp_path / "journal.db")
    store.seconds = 0.0
    return store


def row(offset: int) -> Row:
    return SinkRow(job=1, name="sink", base=0, offset=offset)


async def commit(store: SqliteStore, *offsets: int) -> None:
    await store.commit([row(offset) for offset in offsets])


async def proven(store: WatchedStore) -> None:
    await store.open("job")
    for offset in range(pace.PROVEN):
        await commit(store, offset)
    assert not any(store.in_place)
    store.in_place.clear()


async def offset_of(store: SqliteStore) -> int:
    sink = await store.sink("sink")
    assert sink is not None
    return sink.offset


def test_small_commits_move_to_the_loop_once_the_disk_has_proven_quick(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        await commit(store, 7)
        assert store.in_place == [True]
        assert await offset_of(store) == 7
        await store.close()

    asyncio.run(main())


def test_large_commits_stay_on_the_thread(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        await commit(store, *range(pace.SMALL + 1))
        assert store.in_place == [False]
        await store.close()

    asyncio.run(main())


def test_a_slow_commit_of_a_disk_just_proven_sends_them_back(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        store.seconds = pace.QUICK_SECONDS * 2
        await commit(store, 1)
        store.seconds = 0.0
        again = pace.PROVEN - pace.PROVEN // 2
        for offset in range(again + 1):
            await commit(store, offset)
        assert store.in_place == [True] + [False] * again + [True]
        await store.close()

    asyncio.run(main())


def test_one_slow_commit_among_many_leaves_them_in_place(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        for offset in range(4 * pace.PROVEN):
            await commit(store, offset)
        store.seconds = pace.QUICK_SECONDS * 2
        await commit(store, 1)
        await commit(store, 2)
        assert all(store.in_place)
        for _ in range(3):  # it is no moment any more
            await commit(store, 3)
        await commit(store, 4)
        assert not store.in_place[-1]
        await store.close()

    asyncio.run(main())


def test_a_commit_waits_its_turn_behind_what_the_thread_is_asked(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        read = asyncio.ensure_future(store.unfinished())
        await asyncio.sleep(0)  # the thread has it now
        await commit(store, 1)
        assert store.in_place == [False]
        await read
        await store.close()

    asyncio.run(main())


def test_the_thread_gets_a_commit_now_and_then_for_the_checkpoint(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "CHECKPOINT_EVERY", 5)

    async def main() -> None:
        await proven(store)
        for offset in range(12):
            # The thread's may be one that checkpoints: that it is slow says nothing of others.
            store.seconds = pace.QUICK_SECONDS * 2 if offset == 5 else 0.0
            await commit(store, offset)
        assert store.in_place == ([True] * 5 + [False]) * 2
        await store.close()

    asyncio.run(main())


def test_a_lock_of_another_program_is_waited_for_on_the_thread(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        other = sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = store.commit([row(9)])
        ticks = 0
        while ticks < 5:  # the loop goes on meanwhile
            await asyncio.sleep(0.005)
            ticks += 1
        assert not writing.done()
        other.execute("COMMIT")
        other.close()
        await writing
        assert store.in_place == [False]
        assert await offset_of(store) == 9
        await store.close()

    asyncio.run(main())


def test_a_refused_row_in_place_writes_nothing(store: WatchedStore) -> None:
    async def main() -> None:
        await proven(store)
        bad = SinkRow(job=1, name="other", base=1 << 70, offset=0)
        with pytest.raises(StoreDataError):
            await store.commit([row(5), bad])
        assert await offset_of(store) == pace.PROVEN - 1
        await store.close()

    asyncio.run(main())


def test_pace_counts_only_small_commits_as_slow() -> None:
    pace_ = CommitPace()
    for _ in range(pace.PROVEN):
        pace_.took(1, 0.0, in_place=False)
    pace_.took(10_000, 1.0, in_place=False)
    assert pace_.allows(1)
    pace_.took(1, 1.0, in_place=False)
    assert not pace_.allows(1)


class InPlace(SqliteStore):
    """Makes in place whatever may be."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pace.allows = lambda rows: True  # type: ignore[method-assign]


class TestInPlace(StoreContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal.db"

    def make_store(self) -> Any:
        return InPlace(self.path)

    def reopen(self, store: Any) -> Any:
        return self.make_store()
