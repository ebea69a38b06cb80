"""G2, G12: schedules: each tick is one run, over crashes and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import sys
import zoneinfo
from typing import Any

import pytest
from tests.promises.clock import HOUR, Clock
from tests.promises.support import SECONDS, State, agent_of, hold, out

from perdure import ConfigurationError, EncodeError, LocalEngine, RunStatus
from perdure.engine import schedule as schedule_module

HOURLY = f"every {HOUR * 1000:.0f} ms"


async def tells(event: Any, ctx: Any) -> None:
    out(ctx, event.input)


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let expressions of the form 'every N ms' tick every N ms, from the start of the second."""
    real = schedule_module.ticks

    def ticks(name: str, cron: str, timezone: str, after: int) -> Any:
        if not str(cron).startswith("every "):
            return real(name, cron, timezone, after)
        return quick(int(cron.split()[1]) * 1_000_000, after)

    def quick(step: int, after: int) -> Any:
        tick = after - after % step
        while True:
            tick += step
            yield datetime.datetime.fromtimestamp(tick / 1e9, datetime.UTC)

    monkeypatch.setattr(schedule_module, "ticks", ticks)
    # Ticks of a schedule are whole seconds; these are not.
    monkeypatch.setattr(schedule_module, "_due_at", lambda tick: round(tick.timestamp() * 1e9))


async def until(condition: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def completed(engine: LocalEngine) -> list[Any]:
    return [info.input for info in engine.runs(status=RunStatus.COMPLETED, limit=10_000)][::-1]


def test_g2_each_tick_is_one_run(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            await job.schedule("often", "every 30 ms", str, key="k")
            await until(lambda: job.progress.completed >= 5)
        ticks = completed(engine)
        assert len(set(ticks)) == len(ticks) >= 5
        assert ticks == sorted(ticks)

    asyncio.run(main())


def test_g20_the_next_tick_is_in_the_store_though_the_job_is_full(
    sqlite: str, clock: Clock
) -> None:
    """So it is made up for, although no process lives when its time comes."""

    async def held(event: Any, ctx: Any) -> None:
        if event.input == "first":
            await ctx.durable_execute_async(hold)
        out(ctx, event.input)

    async def main() -> None:
        engine = LocalEngine(sqlite, config={"max-runs-in-flight": 1})
        with contextlib.suppress(InterruptedError):
            async with engine.open(agent_of(held)) as job:
                await job.submit("first", key="a", id=1)
                await until(State.gate.reached.is_set)
                hourly = await asyncio.wait_for(
                    job.schedule("hourly", "0 * * * *", "tick", key="k"), SECONDS
                )
                assert engine.run_info(hourly.next_run).status is RunStatus.WAITING
                raise InterruptedError
        State.gate.release()
        clock.forward(1.5 * HOUR)
        async with LocalEngine(sqlite).open(agent_of(held)) as job:
            await until(lambda: job.progress.completed == 2)
        assert set(completed(engine)) == {"first", "tick"}

    asyncio.run(main())


def test_g2_a_schedule_goes_on_after_a_restart_without_doubling_a_tick(store: str) -> None:
    async def leg(engine: LocalEngine, runs: int) -> None:
        async with engine.open(agent_of(tells)) as job:
            await job.schedule("often", "every 30 ms", str, key="k")
            await until(lambda: job.progress.completed >= runs)
            raise InterruptedError

    async def main() -> None:
        engine = LocalEngine(store)
        for runs in (1, 2, 3):
            with contextlib.suppress(InterruptedError):
                await leg(engine, runs)
        ticks = completed(engine)
        assert len(set(ticks)) == len(ticks) >= 6

    asyncio.run(main())


def test_g12_of_the_ticks_missed_while_nothing_ran_the_first_runs(store: str, clock: Clock) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            schedule = await job.schedule("often", f"every {HOUR * 1000:.0f} ms", str, key="k")
            missed = str(schedule.next_tick)
        assert completed(engine) == []  # leaving the job does not wait for what is due later
        clock.forward(2.5 * HOUR)
        async with engine.open(agent_of(tells)) as job:
            await until(lambda: job.progress.completed == 1)
        assert completed(engine) == [missed]

    asyncio.run(main())


def test_g2_of_the_ticks_that_the_clock_of_a_living_process_leaps_over_each_runs(
    store: str, clock: Clock
) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            await job.schedule("hourly", HOURLY, str, key="k")
            clock.forward(3 * HOUR)
            await until(lambda: job.progress.completed >= 3)
        ticks = completed(engine)
        assert len(set(ticks)) == len(ticks) == 3

    asyncio.run(main())


def test_a_schedule_shows_and_stops_what_is_next(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            schedule = await job.schedule("daily", "0 6 * * *", {"n": 1}, key="k")
            assert schedule.next_tick is not None
            assert (schedule.next_tick.hour, schedule.next_tick.minute) == (6, 0)
            assert schedule.next_run is not None
            assert engine.run_info(schedule.next_run).status is RunStatus.WAITING
            await schedule.stop()
            assert engine.run_info(schedule.next_run).status is RunStatus.CANCELLED

    asyncio.run(main())


def test_a_changed_value_leaves_the_tick_that_is_in_the_store(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        for value in ("old", "new"):
            async with engine.open(agent_of(tells)) as job:
                await job.schedule("yearly", "0 0 1 1 *", value, key="k")
        assert [info.input for info in engine.runs()] == ["old"]
        assert "schedule 'yearly' has changed" in caplog.text

    asyncio.run(main())


@pytest.mark.parametrize("value", ["old", "new"])
def test_g2_a_tick_runs_once_though_its_schedule_was_stopped_before(
    value: str, store: str, clock: Clock
) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            for _ in range(2):
                await (await job.schedule("hourly", HOURLY, "old", key="k")).stop()
            hourly = await job.schedule("hourly", HOURLY, value, key="k")
            clock.forward(HOUR)
            await until(lambda: job.progress.completed == 1)
            assert hourly.next_run is not None
        assert completed(engine) == [value]

    asyncio.run(main())


@pytest.mark.parametrize("value", ["old", "new"])
def test_g2_a_tick_runs_once_though_its_schedule_was_stopped_by_a_process_before(
    value: str, store: str, clock: Clock
) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        for _ in range(2):
            async with engine.open(agent_of(tells)) as job:
                await (await job.schedule("hourly", HOURLY, "old", key="k")).stop()
        found = set()
        for _ in range(2):
            async with engine.open(agent_of(tells)) as job:
                found.add((await job.schedule("hourly", HOURLY, value, key="k")).next_run)
        assert len(found) == 1
        clock.forward(1.5 * HOUR)
        async with engine.open(agent_of(tells)) as job:
            await until(lambda: job.progress.completed == 1)
        assert completed(engine) == [value]
        stopped = engine.runs(status=RunStatus.CANCELLED)
        assert len(stopped) == 2
        assert all("its schedule was stopped" in str(info.error) for info in stopped)

    asyncio.run(main())


def test_a_tick_that_a_person_cancelled_stays_so(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            hourly = await job.schedule("hourly", HOURLY, 1, key="k")
            assert hourly.next_run is not None
            await job.cancel(hourly.next_run)
            await hourly.stop()
        async with engine.open(agent_of(tells)) as job:
            again = await job.schedule("hourly", HOURLY, 1, key="k")
            assert again.next_run == hourly.next_run
        assert [info.status for info in engine.runs()] == [RunStatus.CANCELLED]

    asyncio.run(main())


def test_a_changed_schedule_stops_the_run_that_is_in_the_store(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            first = (await job.schedule("hourly", HOURLY, "old", key="k")).next_run
        async with engine.open(agent_of(tells)) as job:
            changed = await job.schedule("hourly", HOURLY, "new", key="other")
            assert changed.next_run == first
            await changed.stop()
        assert [info.status for info in engine.runs()] == [RunStatus.CANCELLED]

    asyncio.run(main())


def refused(cron: str = "* * * * *", value: Any = 1, timezone: str = "UTC", name: Any = "s") -> Any:
    async def main() -> None:
        async with LocalEngine("memory://").open(agent_of(tells)) as job:
            await job.schedule(name, cron, value, key="k", timezone=timezone)

    asyncio.run(main())


def test_a_wrong_expression_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'61 \\* \\* \\* \\*' is no cron expression"):
        refused("61 * * * *")


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "@daily", "1" * 5000 + " * * * *"])
def test_an_expression_of_other_than_five_fields_of_numbers_is_refused(cron: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no cron expression .* write five fields") as e:
        refused(cron)
    assert len(str(e.value)) < 300


@pytest.mark.parametrize("name", [None, 5, b"x", "", "\ud800", ["a"]])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="names no schedule"):
        refused(name=name)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no time zone 'Mars/Base'"):
        refused(timezone="Mars/Base")


@pytest.mark.parametrize("cron", [5, None, b"0 6 * * *"])
def test_an_expression_that_is_no_text_is_refused(cron: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"schedule 's': .* is no cron expression"):
        refused(cron)


@pytest.mark.parametrize("zone", [5, None, datetime.UTC, b"UTC", ".", "\0"])
def test_a_time_zone_that_is_none_is_refused(zone: Any) -> None:
    with pytest.raises(ConfigurationError, match="schedule 's': there is no time zone"):
        refused(timezone=zone)


def test_a_time_zone_may_be_given_as_itself() -> None:
    name = "America/New_York"
    zones = (name, zoneinfo.ZoneInfo(name))
    first, second = (next(schedule_module.ticks("s", "0 6 * * *", zone, 0)) for zone in zones)
    assert first == second


def test_a_value_that_cannot_be_journaled_is_refused() -> None:
    with pytest.raises(EncodeError):
        refused(value=lambda tick: object())


def test_a_name_is_used_once(store: str) -> None:
    async def main() -> None:
        async with LocalEngine(store).open(agent_of(tells)) as job:
            await job.schedule("s", "0 0 1 1 *", 1, key="k")
            with pytest.raises(ConfigurationError, match="there is a schedule 's' already"):
                await job.schedule("s", "0 0 1 1 *", 1, key="k")

    asyncio.run(main())


def test_a_name_is_free_again_when_its_schedule_was_stopped_or_never_began(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            with pytest.raises(EncodeError):
                await job.schedule("s", "0 0 1 1 *", object(), key="k")
            await (await job.schedule("s", "0 0 1 1 *", 1, key="k")).stop()
            again = await job.schedule("s", "0 0 1 2 *", 2, key="k")
            assert again.next_run is not None
            assert engine.run_info(again.next_run).status is RunStatus.WAITING

    asyncio.run(main())


def test_of_a_schedule_that_was_stopped_nothing_is_kept(store: str) -> None:
    async def main() -> None:
        async with LocalEngine(store).open(agent_of(tells)) as job:
            schedule = await job.schedule("s", "0 0 1 1 *", 1, key="k")
            await schedule.stop()
            with pytest.raises(EncodeError):
                await job.schedule("never began", "0 0 1 1 *", object(), key="k")
            assert not job._job._schedules
            again = await job.schedule("s", "0 0 1 1 *", 1, key="k")
            await schedule.stop()  # it is not its name any more
            assert list(job._job._schedules.values()) == [again]

    asyncio.run(main())


def test_a_schedule_that_is_stopped_as_its_next_run_is_admitted_starts_none(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            schedule = await job.schedule("s", "0 0 1 1 *", 1, key="k")
            schedule._due()  # as its timer does
            admitting = asyncio.ensure_future(schedule.begin())
            await asyncio.sleep(0)
            await schedule.stop()
            await admitting
            assert schedule.next_run is not None
            assert engine.run_info(schedule.next_run).status is RunStatus.CANCELLED

    asyncio.run(main())


class OddError(BaseException):
    """An error of a class that few catch."""


@pytest.mark.parametrize(
    "odd",
    [
        KeyError("rates"),
        asyncio.CancelledError("rates"),
        GeneratorExit("rates"),
        OddError("rates"),
        object(),
    ],
)
def test_a_tick_whose_value_is_none_is_left_out(
    odd: Any, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def value(tick: datetime.datetime) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            if isinstance(odd, BaseException):
                raise odd
            return odd
        return calls

    async def main() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(tells)) as job:
            often = await job.schedule("often", "every 30 ms", value, key="k")
            await until(lambda: job.progress.completed >= 3)
            await often.stop()
        assert completed(engine)[:3] == [1, 3, 4]

    asyncio.run(main())
    (said,) = [each.getMessage() for each in caplog.records if "often" in each.getMessage()]
    assert "schedule 'often' starts no run at 20" in said
    raised = isinstance(odd, BaseException)
    assert (f"{type(odd).__name__}: {odd}" if raised else "EncodeError") in said
    assert "\n" not in said


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'perdure\[schedules\]'"):
        refused()


def test_ticks_follow_the_clock_changes_of_their_time_zone() -> None:
    before = datetime.datetime(2026, 3, 28, 12, tzinfo=datetime.UTC)
    ticks = schedule_module.ticks(
        "s", "30 2 * * *", "Europe/Berlin", int(before.timestamp()) * 10**9
    )
    offsets = [next(ticks).utcoffset() for _ in range(2)]
    assert offsets == [datetime.timedelta(hours=2)] * 2


def first_tick(cron: str, zone: str, after: datetime.datetime, ns: int = 0) -> datetime.datetime:
    ticks = schedule_module.ticks("s", cron, zone, int(after.timestamp()) * 10**9 + ns)
    return next(ticks)


def test_no_tick_is_before_its_schedule_though_the_clock_repeats_an_hour() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    second_pass = datetime.datetime(2026, 10, 25, 2, 15, tzinfo=berlin, fold=1)
    tick = first_tick("30 2 * * *", "Europe/Berlin", second_pass)
    assert tick == datetime.datetime(2026, 10, 26, 2, 30, tzinfo=berlin)


def test_a_schedule_of_a_moment_before_a_tick_has_it() -> None:
    before = datetime.datetime(2026, 1, 1, 10, 59, 59, tzinfo=datetime.UTC)
    tick = first_tick("0 * * * *", "UTC", before, 999_999_999)
    assert tick == before + datetime.timedelta(seconds=1)
    assert first_tick("0 * * * *", "UTC", tick) == tick + datetime.timedelta(hours=1)
