"""Every store keeps the contract of ActionStateStore."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.store.base import ActionStateStore
from perdure.store.sqlite.memory_store import MemoryStore
from perdure.store.url import open_store
from perdure.testing.store_contract import StoreContract

pytestmark = pytest.mark.usefixtures("no_blocking")


class TestMemoryStore(StoreContract):
    def make_store(self) -> ActionStateStore:
        return open_store("memory://")

    def reopen(self, store: ActionStateStore) -> ActionStateStore:
        return store  # what it holds goes with the object


@pytest.mark.parametrize("durability", ["strict", "relaxed"], scope="class")
class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path, durability: str) -> None:
        self.relaxed = durability == "relaxed"
        self.path = tmp_path / "journal.db"

    def make_store(self) -> ActionStateStore:
        return open_store(f"sqlite:///{self.path}", relaxed=self.relaxed)

    def reopen(self, store: ActionStateStore) -> ActionStateStore:
        again = self.make_store()
        assert again is not store
        return again


def test_two_memory_stores_hold_different_things() -> None:
    one, two = open_store("memory://"), open_store("memory://")
    assert isinstance(one, MemoryStore)
    assert one is not two
