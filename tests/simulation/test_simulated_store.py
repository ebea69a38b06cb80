"""The simulated store does all for its job that a store must; nobody looks into it."""

from __future__ import annotations

import asyncio

from perdure.store.base import ActionStateStore
from perdure.testing.simulation.store import SimulatedStore
from perdure.testing.store_contract import OwnerContract


class TestSimulatedStore(OwnerContract):
    def make_store(self) -> ActionStateStore:
        return SimulatedStore()

    def reopen(self, store: ActionStateStore) -> ActionStateStore:
        return store  # what it holds goes with the object

    # It packs nothing, and the test looks at what it has from outside too.
    test_large_payloads_are_read_as_they_were_written = None  # type: ignore[assignment]


def test_a_store_made_from_the_first_batches_has_what_they_had() -> None:
    async def check() -> None:
        contract = TestSimulatedStore()
        async with contract.opened() as (store, sample):
            assert isinstance(store, SimulatedStore)
            await store.commit([sample.key(1), sample.run(1)])
            await store.commit([sample.run(2), sample.memory(1, "a", b"1")])
            batches = store.batches
        async with contract.opened(SimulatedStore(batches[:1])) as (earlier, _):
            assert await earlier.unfinished() == [sample.run(1)]
        async with contract.opened(SimulatedStore(batches)) as (whole, _):
            assert await whole.unfinished() == [sample.run(1), sample.run(2)]

    asyncio.run(check())
