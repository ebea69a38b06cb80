"""The last hour of a job, counted piece by piece from the newest on."""

from __future__ import annotations

import asyncio
from typing import Any

from perdure.operate.history import AsyncHistory
from perdure.operate.hour import MINUTES, LastHour, Minute
from perdure.store.base import JobRow, Settled

JOB = JobRow(job=1, name="job", created_at=0)
MINUTE = 60 * 10**9
NOW = 1000  # minutes since the epoch


class View:
    """A view of a journal: the minute of each record, each of which is of a call that returned."""

    url = "memory://"

    def __init__(self, minutes: list[int]) -> None:
        self.records = minutes
        self.read = 0

    async def settled(self, job: int, *, after: int, until: int | None, limit: int) -> Settled:
        last = len(self.records) if until is None else min(until, len(self.records))
        first = min(max(after, last - limit, 0), last)
        found = self.records[first:last]
        self.read += len(found)
        return Settled([(m, found.count(m), 0) for m in sorted(set(found))], first, last)


def looked(hour: LastHour, view: View, now: int = NOW) -> tuple[dict[int, int], int]:
    """Return how many returned in each minute, and from which minute on that is known."""
    history: Any = AsyncHistory(view)  # type: ignore[arg-type]
    minutes, known = asyncio.run(hour.look(history, JOB, now * MINUTE + 5))
    return {number: minute.returned for number, minute in sorted(minutes.items())}, known


def test_an_hour_is_counted_and_what_is_older_is_not_read() -> None:
    view = View([*range(100, 900), 941, 990, 990, 1000])
    hour = LastHour(piece=10)
    assert looked(hour, view) == ({941: 1, 990: 2, 1000: 1}, NOW - MINUTES + 1)
    assert view.read == 10
    view.records += [1000, 1001]
    assert looked(hour, view, 1001) == ({990: 2, 1000: 2, 1001: 1}, 942)
    assert view.read == 12


def test_a_look_reads_as_much_as_there_is_time_for_and_the_next_goes_on() -> None:
    view = View([minute for minute in range(970, 1001) for _ in range(4)])
    hour = LastHour(seconds=0, piece=8)
    assert looked(hour, view) == ({997: 4, 998: 4, 999: 4, 1000: 4}, 998)  # 997 may have more
    while looked(hour, view)[1] > 941:
        assert view.read < 1000
    assert looked(hour, view) == (dict.fromkeys(range(970, 1001), 4), 941)
    assert view.read == len(view.records)


def test_nothing_is_counted_twice_or_mixed_where_too_much_is_new() -> None:
    view = View([990] * 20)
    hour = LastHour(seconds=0, piece=8)
    while looked(hour, view)[1] > 941:
        pass
    view.records += [995] * 10 + [1000] * 10
    assert looked(hour, view)[1] > 941  # what is between was not read
    while looked(hour, view)[1] > 941:
        pass
    assert looked(hour, view) == ({990: 20, 995: 10, 1000: 10}, 941)


def test_another_store_in_its_place_begins_anew() -> None:
    hour = LastHour()
    assert looked(hour, View([999] * 9))[0] == {999: 9}
    assert looked(hour, View([1000] * 3))[0] == {1000: 3}


def test_a_store_whose_records_are_of_other_jobs_tells_that_nothing_is_known() -> None:
    class Others(View):
        async def settled(self, job: int, **piece: Any) -> Settled:
            return (await super().settled(job, **piece))._replace(minutes=[])

    view = Others([999] * 100)
    hour = LastHour(seconds=0, piece=40)
    assert looked(hour, view) == ({}, NOW + 1)
    assert looked(hour, view) == ({}, 941)


def test_looks_at_one_time_count_each_record_once() -> None:
    view = View([1000] * 50)
    history: Any = AsyncHistory(view)  # type: ignore[arg-type]

    async def several() -> list[tuple[dict[int, Minute], int]]:
        hour = LastHour(piece=5)
        looks = (hour.look(history, JOB, NOW * MINUTE) for _ in range(3))
        return await asyncio.gather(*looks)

    for minutes, _ in asyncio.run(several()):
        assert minutes[1000].returned == 50
