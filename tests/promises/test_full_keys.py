"""G20: a source is read past a key that is full (`max-runs-queued`); each key keeps its order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_failing_store import fail_at_random
from tests.promises.legs import KINDS, Legs, agent_for, go, until
from tests.promises.support import COROUTINE, SECONDS, State
from tests.promises.test_refused_inputs import as_async, as_file, as_list
from tests.promises.test_waiting_keys import first_waits, hot, others

from perdure import InputError, StoreError
from perdure.connectors.iterable import as_source
from perdure.engine import reading
from perdure.engine.job import Job
from perdure.runtime.shared import admission

OTHERS = set(range(100, 110))
INPUTS = [*hot(30), *others(10)]


@pytest.fixture(params=[None, "n"], ids=["by position", "by id"])
def id_(request: pytest.FixtureRequest) -> Any:
    return request.param


def reads(job: Job, inputs: Any, id_: str | None = None) -> asyncio.Task[Any]:
    source = as_source(inputs) if isinstance(inputs, list) else inputs
    return asyncio.ensure_future(job.drive(source, key="k", id=id_))


async def signalled(job: Job, key: str = "hot") -> None:
    """Let the run go on that the others of its key are queued behind."""
    await until(lambda: [run for run in job.waiting_runs() if run.key == key])
    await next(run for run in job.waiting_runs() if run.key == key).signal("go")


def of(result: Any, key: str) -> list[Any]:
    return [output.value for output in result.outputs if output.key == key]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("in_flight", "queued"), [(1, 1), (2, 3), (8, 3)])
def test_g20_a_source_is_read_past_a_key_that_is_full(
    in_flight: int, queued: int, id_: str | None, kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=in_flight, max_runs_queued=queued)
        async with legs.opened(agent_for(kind, first_waits)) as job:
            driving = reads(job, INPUTS, id_)
            await until(lambda: set(State.calls) >= OTHERS)
            assert State.calls.count(0) == 1
            assert not set(State.calls) & set(range(1, 30))
            await signalled(job)
            result = await asyncio.wait_for(driving, SECONDS)
            assert job.progress.inputs == result.inputs == 40
        assert of(result, "hot") == list(range(30))

    go(test)


@pytest.mark.parametrize("form", [as_list, as_async, as_file])
def test_g20_any_source_is_read_past_it(
    form: Callable[[list[Any], Path], Any], sqlite: str, tmp_path: Path
) -> None:
    async def test() -> None:
        legs = Legs(sqlite, max_runs_in_flight=4, max_runs_queued=3)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            given = form(INPUTS, tmp_path)
            driving = reads(job, as_source(given) if form is as_async else given)
            await until(lambda: set(State.calls) >= OTHERS)
            await signalled(job)
            result = await asyncio.wait_for(driving, SECONDS)
        assert of(result, "hot") == list(range(30))

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g20_g2_a_crash_behind_a_full_key_loses_and_doubles_nothing(
    id_: str | None, kind: str, store: str
) -> None:
    """The process dies when it has read past inputs that are in no store."""

    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=2, max_runs_queued=3)
        agent = agent_for(kind, first_waits)
        async with legs.crashing(agent) as job:
            driving = reads(job, INPUTS, id_)
            await until(lambda: set(State.calls) >= OTHERS)
            assert len(legs.engine.runs(limit=100)) < 40
        await asyncio.gather(driving, return_exceptions=True)
        async with legs.opened(agent) as job:
            driving = reads(job, INPUTS, id_)
            await signalled(job)
            result = await asyncio.wait_for(driving, SECONDS)
            assert result.inputs == 40
        assert len(legs.engine.runs(limit=100)) == 40
        assert of(result, "hot") == list(range(30))
        assert sorted(n for n in State.calls if n >= 100) == sorted(OTHERS)

    go(test)


def test_g20_several_full_keys_each_go_on_by_themselves(store: str) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=2, max_runs_queued=3)
        cold = [{**each, "k": "cold", "n": each["n"] + 50} for each in hot(20)]
        mixed = [each for pair in zip(hot(20), cold, strict=True) for each in pair]
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            driving = reads(job, [*mixed, *others(10)])
            await until(lambda: set(State.calls) >= OTHERS)
            await signalled(job, "cold")
            await until(lambda: set(range(50, 70)) <= set(State.calls))
            assert State.calls.count(0) == 1
            assert not set(State.calls) & set(range(1, 20))
            await signalled(job)
            result = await asyncio.wait_for(driving, SECONDS)
        assert of(result, "hot") == list(range(20))
        assert of(result, "cold") == list(range(50, 70))

    go(test)


def test_g20_a_source_is_read_past_so_many_inputs_and_then_that_is_said(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "HELD_UP", 5)
    monkeypatch.setattr(reading, "CHUNK", 2)
    given: list[Any] = []

    def inputs() -> Any:
        for each in INPUTS:
            given.append(each["n"])
            yield each

    async def test() -> None:
        legs = Legs(store, max_runs_queued=3)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            driving = reads(job, as_source(inputs()))
            await until(lambda: "is read no further" in caplog.text)
            read = len(given)
            assert read < 30
            await asyncio.sleep(0.02)
            assert len(given) == read
            await signalled(job)
            result = await asyncio.wait_for(driving, SECONDS)
        assert of(result, "hot") == list(range(30))
        assert set(State.calls) >= OTHERS

    go(test)
    assert caplog.text.count("is read no further") == 1


def test_g20_g28_a_refused_input_stops_what_is_behind_it_though_others_are_held_up(
    store: str,
) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=2, max_runs_queued=3)
        bad = {"n": 99}  # it has no key
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            driving = reads(job, [*hot(30), *others(2), bad, {"k": "late", "n": 98}])
            await until(lambda: {100, 101} <= set(State.calls))
            await signalled(job)
            with pytest.raises(InputError, match="key"):
                await asyncio.wait_for(driving, SECONDS)
        assert [n for n in State.calls if n < 50] == list(range(30))
        assert 98 not in State.calls

    go(test)


def test_g20_what_is_held_up_is_not_looked_at_anew_for_each_run_that_begins(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []
    real = admission.prepared

    def prepared(item: Any, codec: Any) -> Any:
        looks.append(item)
        return real(item, codec)

    monkeypatch.setattr(admission, "prepared", prepared)

    async def test() -> None:
        legs = Legs(store, max_runs_queued=3)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            driving = reads(job, [*hot(400), {"k": "other", "n": 1000}])
            await until(lambda: 1000 in State.calls)
            await signalled(job)
            result = await asyncio.wait_for(driving, SECONDS)
        assert of(result, "hot") == list(range(400))

    go(test)
    assert len(looks) < 3 * 401


@pytest.mark.parametrize("seed", range(6))
def test_g20_g25_a_store_that_fails_lets_nothing_overtake_what_is_held_up(
    seed: int, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BACKOFF_SECONDS", (0.01, 0.05))

    async def test() -> None:
        legs = Legs(sqlite, max_runs_in_flight=4, max_runs_queued=3)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            failed = fail_at_random(monkeypatch, random.Random(seed))
            driving = reads(job, INPUTS)
            await until(lambda: set(State.calls) >= OTHERS)
            while 1 not in State.calls:
                for run in list(job.waiting_runs()):
                    with contextlib.suppress(StoreError):
                        await run.signal("go")
                await asyncio.sleep(0)
            result = await asyncio.wait_for(driving, SECONDS)
            assert failed
        assert of(result, "hot") == list(range(30))
        assert len(legs.engine.runs(limit=100)) == 40

    go(test)
