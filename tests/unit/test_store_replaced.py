"""A store that is removed, replaced or damaged while it is looked at."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perdure.errors import StoreError, StoreFormatError
from perdure.store.ownership import Place
from perdure.store.sqlite import opened
from perdure.store.sqlite.file import connect
from perdure.store.sqlite.view import SqliteView


@pytest.fixture(autouse=True)
def always_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "EVERY_SECONDS", 0.0)


def make(path: Path, *jobs: str) -> Path:
    connection = connect(path)
    for job in jobs:
        connection.execute("INSERT INTO job (name, created_at) VALUES (?, 1)", (job,))
    connection.close()
    return path


async def names(found: SqliteView) -> list[str]:
    return [job.name for job in (await found.jobs()).items]


def looked_at(path: Path, look: Callable[[SqliteView], Awaitable[None]]) -> None:
    async def test() -> None:
        async with SqliteView(Place(path)) as found:
            assert await names(found) == ["first"]
            await look(found)

    asyncio.run(test())


def test_a_store_in_the_place_of_another_is_the_one_that_is_seen(tmp_path: Path) -> None:
    path = make(tmp_path / "live.db", "first")
    other = make(tmp_path / "other.db", "second", "third")

    async def look(found: SqliteView) -> None:
        assert await found.counts(1) == {}
        os.replace(other, path)
        assert await names(found) == ["second", "third"]

    looked_at(path, look)


def test_a_store_that_is_gone_is_an_error_until_there_is_one_again(tmp_path: Path) -> None:
    path = make(tmp_path / "live.db", "first")

    async def look(found: SqliteView) -> None:
        for each in tmp_path.glob("live.db*"):
            each.unlink()
        for _ in range(2):
            with pytest.raises(StoreError, match="there is no store at"):
                await names(found)
        make(path, "second")
        assert await names(found) == ["second"]

    looked_at(path, look)


def test_where_a_link_leads_now_is_seen(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(make(tmp_path / "one.db", "first"))

    async def look(found: SqliteView) -> None:
        link.unlink()
        link.symlink_to(make(tmp_path / "two.db", "second"))
        assert await names(found) == ["second"]

    looked_at(link, look)


@pytest.mark.parametrize("size", [0, 5000])
def test_a_store_that_is_cut_off_and_mended_is_seen_again(tmp_path: Path, size: int) -> None:
    path = make(tmp_path / "live.db", "first")
    kept = Path(shutil.copy(path, tmp_path / "kept.db"))

    async def look(found: SqliteView) -> None:
        os.truncate(path, size)
        for _ in range(2):
            with pytest.raises(StoreError):
                await names(found)
        path.write_bytes(kept.read_bytes())  # in place: it is the same file
        assert await names(found) == ["first"]

    looked_at(path, look)


def test_a_view_of_a_store_that_is_cut_off_is_closed(tmp_path: Path) -> None:
    path = make(tmp_path / "live.db", "first")

    async def look(found: SqliteView) -> None:
        os.truncate(path, 5000)
        with pytest.raises(StoreFormatError):
            await names(found)
        os.truncate(path, 3000)  # closing must not raise either

    looked_at(path, look)
