"""InputReader: inputs are admitted again in their order, whenever each of them was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure import InputError, StoreError
from perdure.connectors.iterable import as_source
from perdure.engine import reading
from perdure.engine.progress import Progress
from perdure.engine.reading import InputReader
from perdure.runtime.shared.admission import Admitted
from perdure.runtime.shared.inputs import NewInput


class ByHand:
    """What a reader needs of a job, each of whose inputs is decided by the test."""

    job = "test"
    job_number = 1

    def __init__(self) -> None:
        self.submitted: list[int] = []
        self.items: dict[int, NewInput] = {}
        self.futures: dict[int, asyncio.Future[Admitted]] = {}
        self.writes = asyncio.Event()
        self.is_asked = asyncio.Event()
        self.files = self

    async def bad_positions(self, source: str) -> tuple[int, ...]:
        return ()

    def admit(self, item: NewInput) -> asyncio.Future[Admitted]:
        future: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()
        number = item.value["n"]
        self.items[number], self.futures[number] = item, future
        self.submitted.append(number)
        return future

    async def wait_for_room(self) -> int:
        return 512

    async def wait_for_store(self) -> None:
        self.is_asked.set()
        await self.writes.wait()
        self.writes.clear()

    def hold_up(self, number: int, waits: bool) -> None:
        series = self.items[number].series
        assert series is not None
        series.hold_up(self.futures[number], waits)

    def lose(self, number: int) -> None:
        series, error = self.items[number].series, StoreError("disk full")
        assert series is not None
        series.lose(self.items[number].place_in_series, error)
        self.futures[number].set_exception(error)

    def refuse(self, number: int) -> None:
        series, error = self.items[number].series, InputError("bad")
        assert series is not None
        series.refuse(self.items[number].place_in_series, error)
        self.futures[number].set_exception(error)

    def admitted(self, *numbers: int) -> None:
        for number in numbers:
            self.futures[number].set_result(Admitted(number, None, is_new=True))

    async def asked(self) -> None:
        """Return when the reader waits for the store before it admits anything again."""
        await asyncio.wait_for(self.is_asked.wait(), PATIENCE)
        self.is_asked.clear()

    async def came(self, *numbers: int) -> None:
        """Return when these were submitted since this was last asked, in this order."""
        async with asyncio.timeout(PATIENCE):
            while len(self.submitted) < len(numbers):
                await asyncio.sleep(0)
        assert self.submitted == list(numbers)
        self.submitted = []


async def no_wait() -> None:
    return None


def reader_of(job: Any, count: int) -> InputReader:
    source = as_source([{"k": "hot", "n": n} for n in range(count)])
    return InputReader(
        job, source, key="k", id=None, progress=Progress(), sink_room=no_wait, count=lambda _: False
    )


def read(job: Any, count: int) -> asyncio.Task[None]:
    return asyncio.ensure_future(reader_of(job, count).read())


async def with_the_last_lost() -> tuple[ByHand, asyncio.Task[None]]:
    """Have the middle one of three inputs held up, and the reader wait with the lost last one."""
    job = ByHand()
    reading = read(job, 3)
    await job.came(0, 1, 2)
    job.admitted(0)
    job.hold_up(1, True)
    job.lose(2)
    await job.asked()
    return job, reading


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BACKOFF_SECONDS", (0.0, 0.0))


@pytest.mark.parametrize("lets_reader_see", [True, False])
def test_g1_what_was_held_up_and_is_lost_later_comes_before_what_was_lost_behind_it(
    lets_reader_see: bool,
) -> None:
    async def test() -> None:
        job, reading = await with_the_last_lost()
        if not lets_reader_see:
            job.writes.set()
        job.lose(1)  # while the reader waits with what was behind it
        if lets_reader_see:
            await asyncio.sleep(0)
            job.writes.set()
        await job.asked()
        job.writes.set()
        await job.came(1, 2)
        job.admitted(1, 2)
        await asyncio.wait_for(reading, PATIENCE)

    asyncio.run(test())


def test_g1_what_begins_while_others_wait_to_be_admitted_again_is_waited_for() -> None:
    async def test() -> None:
        job, reading = await with_the_last_lost()
        job.hold_up(1, False)
        job.writes.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not job.submitted
        job.lose(1)
        await job.asked()
        job.writes.set()
        await job.came(1, 2)
        job.admitted(1, 2)
        await asyncio.wait_for(reading, PATIENCE)

    asyncio.run(test())


def test_g28_what_is_refused_while_others_wait_to_be_admitted_again_ends_the_reading() -> None:
    async def test() -> None:
        job, reading = await with_the_last_lost()
        job.refuse(1)
        job.writes.set()
        await job.came(2)
        job.futures[2].set_exception(InputError("bad"))  # as what is behind it
        with pytest.raises(InputError, match="bad"):
            await asyncio.wait_for(reading, PATIENCE)

    asyncio.run(test())


def test_what_reads_and_what_sees_to_lost_inputs_may_wait_at_once() -> None:
    """A host loop that begins tasks eagerly lets the latter wait while the former does."""

    async def test() -> None:
        reader, seen = reader_of(ByHand(), 0), [False, False]
        waits = [asyncio.ensure_future(reader._until(lambda n=n: seen[n])) for n in range(2)]
        for n in range(2):
            await asyncio.sleep(0)
            seen[n] = True
            reader._tell()
            await asyncio.wait_for(waits[n], PATIENCE)

    asyncio.run(test())
