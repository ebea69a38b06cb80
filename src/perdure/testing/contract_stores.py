"""ContractStores: the stores that a contract is tried on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from perdure.store.base import ActionStateStore
from perdure.testing.sample_rows import SampleRows

__all__ = ["ContractStores"]


class ContractStores:
    """What the parts of StoreContract have in common; a subclass says how to make a store."""

    job = "contract"

    def make_store(self) -> ActionStateStore:
        """Return a store without data, not yet open; called once in a test."""
        raise NotImplementedError

    def reopen(self, store: ActionStateStore) -> ActionStateStore:
        """Return a store over the data of `store`, which was closed; it may be the same object."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(
        self, store: ActionStateStore | None = None, job: str | None = None
    ) -> AsyncIterator[tuple[ActionStateStore, SampleRows]]:
        """Open a new store, or the data of a closed one again; close it at the end."""
        used = self.make_store() if store is None else self.reopen(store)
        info = await used.open(self.job if job is None else job)
        try:
            yield used, SampleRows(info)
        finally:
            await used.close()
