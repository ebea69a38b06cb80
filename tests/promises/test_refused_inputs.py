"""G28: a refused input stops what is behind it; bad lines are passed over by wish alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.promises.legs import Legs, go, until
from tests.promises.support import ONE, State, agent_of, crash_and_resume, hold, out, run

from perdure import EncodeError, JsonlSink, JsonlSource, LocalEngine
from perdure.connectors.base import SourceItem
from perdure.connectors.iterable import IterableSource, as_source
from perdure.errors import ConfigurationError, InputError

DEEP: Any = None
for _ in range(150):
    DEEP = [DEEP]


async def counts(event: Any, ctx: Any) -> None:
    ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
    out(ctx, [event.input["n"], ctx.short_term_memory.get("n")])


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"k": "a", "n": n, **more} for n in range(count)]


def as_list(inputs: list[Any], _: Path) -> Any:
    return inputs


def as_async(inputs: list[Any], _: Path) -> Any:
    async def give() -> AsyncIterator[Any]:
        for value in inputs:
            await asyncio.sleep(0)
            yield value

    return give()


def as_file(inputs: list[Any], folder: Path) -> Any:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in inputs), "utf-8")
    return JsonlSource(path)


Form = Callable[[list[Any], Path], Any]
FORMS = {"list": as_list, "async": as_async, "file": as_file}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


@pytest.fixture(params=[1, 3, 4096])
def engine(request: pytest.FixtureRequest, store: str) -> LocalEngine:
    return LocalEngine(store, config={"max-runs-in-flight": request.param})


def ran(engine: LocalEngine) -> list[int]:
    """Return which inputs have had a run, the oldest run first."""
    return [info.input["n"] for info in reversed(engine.runs(limit=1000))]


@pytest.mark.parametrize("at", [0, 2, 5])
def test_g28_nothing_behind_a_changed_input_runs(
    engine: LocalEngine, form: Form, tmp_path: Path, at: int
) -> None:
    agent = agent_of(counts)
    engine.run(agent, form(rows(6), tmp_path), key="k")
    changed = [*rows(6), *({"k": f"new {n}", "n": n} for n in range(6, 12))]
    changed[at] = {"k": "a", "n": at, "changed": True}
    with pytest.raises(InputError, match="is not what this job read there before"):
        engine.run(agent, form(changed, tmp_path), key="k")
    assert ran(engine) == list(range(6))
    # Restored and continued it goes on where it was.
    outputs = engine.run(agent, form(rows(8), tmp_path), key="k")
    assert [o.value for o in outputs] == [[n, n + 1] for n in range(8)]


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "without a key": ({"n": 2}, InputError, "has no field 'k' for the key"),
    "no object": ([2], InputError, "is a list without 'k'"),
    "too deep": ({"k": "a", "n": 2, "t": DEEP}, EncodeError, "nested more than"),
}


@pytest.mark.parametrize("kind", BAD)
def test_g1_g28_nothing_overtakes_a_refused_input_of_its_key(
    engine: LocalEngine, form: Form, tmp_path: Path, kind: str
) -> None:
    bad, error, message = BAD[kind]
    agent = agent_of(counts)
    inputs = [*rows(2), bad, *rows(8)[3:]]
    with pytest.raises(error, match=message) as caught:
        engine.run(agent, form(inputs, tmp_path), key="k")
    assert len(str(caught.value)) < 300
    assert ran(engine) == [0, 1]
    outputs = engine.run(agent, form(rows(8), tmp_path), key="k")
    assert [o.value for o in outputs] == [[n, n + 1] for n in range(8)]


def test_g2_g28_an_id_with_another_value_stops_what_is_behind_it(
    engine: LocalEngine, form: Form, tmp_path: Path
) -> None:
    inputs = [{"k": "a", "n": n, "id": f"i{n}"} for n in range(6)]
    inputs[3]["id"] = "i1"  # within one file, before the first of them is durable
    with pytest.raises(InputError, match="id 'i1' was submitted before with another key or value"):
        engine.run(agent_of(counts), form(inputs, tmp_path), key="k", id="id")
    assert ran(engine) == [0, 1, 2]


def test_g2_the_same_input_twice_is_one_run_and_stops_nothing(
    engine: LocalEngine, form: Form, tmp_path: Path
) -> None:
    inputs = [{"k": "a", "n": n % 3, "id": n % 3} for n in range(9)]
    engine.run(agent_of(counts), form(inputs, tmp_path), key="k", id="id")
    assert ran(engine) == [0, 1, 2]


def test_g28_what_a_callers_own_submissions_are_is_not_a_series(store: str) -> None:
    """Whoever submits is told of a refusal, and others go on."""

    async def go() -> list[Any]:
        async with LocalEngine(store).open(agent_of(counts)) as job:
            return await asyncio.gather(
                *(job.submit(value, key="a") for value in ({"n": 0}, {"n": DEEP}, {"n": 2})),
                return_exceptions=True,
            )

    first, refused, third = asyncio.run(go())
    assert isinstance(refused, EncodeError)
    assert [first.status.value, third.status.value] == ["completed", "completed"]


# Passing over


def skipping(inputs: list[Any]) -> IterableSource:
    return IterableSource(inputs, on_bad_line="skip")


def test_g28_bad_inputs_are_passed_over_by_wish_and_kept_with_their_reasons(
    engine: LocalEngine,
) -> None:
    agent = agent_of(counts)
    inputs = [*rows(2), *(bad for bad, _, _ in BAD.values()), *rows(7)[5:]]
    outputs = engine.run(agent, skipping(inputs), key="k")
    assert [o.value for o in outputs] == [[0, 1], [1, 2], [5, 3], [6, 4]]
    kept = engine.bad_lines()
    assert [(bad.source, bad.position, bad.line) for bad in kept] == [
        ("inputs", n, None) for n in (2, 3, 4)
    ]
    for bad, (_, _, message) in zip(kept, BAD.values(), strict=True):
        assert message in bad.reason
    # Read again they are passed over again, and counted once.
    engine.run(agent, skipping(inputs), key="k")
    assert [bad.position for bad in engine.bad_lines()] == [2, 3, 4]
    assert len(engine.bad_lines(limit=2)) == 2


def test_g28_a_mended_input_keeps_its_position_and_is_forgotten_as_bad(
    engine: LocalEngine,
) -> None:
    agent = agent_of(counts)
    engine.run(agent, skipping([*rows(1), {"n": 1}, {"n": 2}, *rows(5)[3:]]), key="k")
    outputs = engine.run(agent, skipping([*rows(2), {"n": 2}, *rows(5)[3:]]), key="k")
    assert [o.value for o in outputs] == [[0, 1], [3, 2], [4, 3], [1, 4]]
    assert [bad.position for bad in engine.bad_lines()] == [2]
    # Without the wish the line that is still bad stops again.
    with pytest.raises(InputError, match="input 2 of inputs has no field 'k'"):
        engine.run(agent, [*rows(2), {"n": 2}, *rows(9)[3:]], key="k")
    assert sorted(ran(engine)) == [0, 1, 3, 4]


def test_g28_a_changed_input_is_never_passed_over(engine: LocalEngine) -> None:
    agent = agent_of(counts)
    engine.run(agent, skipping(rows(3)), key="k")
    changed = [*rows(1), {"k": "a", "n": "other"}, *rows(9)[2:]]
    with pytest.raises(InputError, match="is not what this job read there before"):
        engine.run(agent, skipping(changed), key="k")
    assert ran(engine) == [0, 1, 2]
    assert engine.bad_lines() == []


def test_g28_bad_lines_of_a_file_have_numbers(store: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    good = '{"k": "a", "n": %d}\n'
    path.write_bytes(
        (good % 0 + "\n{broken\n" + good % 1).encode()
        + b'"\xff"\n'
        + b'{"k": null, "n": 9}\n'
        + (good % 2 + '{"k": "a"').encode()
    )
    engine = LocalEngine(store)
    source = JsonlSource(path, on_bad_line="skip", name="feed")
    outputs = engine.run(agent_of(counts), source, key="k")
    assert [o.value for o in outputs] == [[0, 1], [1, 2], [2, 3]]
    kept = [(bad.source, bad.line, bad.position) for bad in engine.bad_lines()]
    assert kept == [("feed", 3, 1), ("feed", 5, 3), ("feed", 6, 4), ("feed", 8, 6)]
    reasons = [bad.reason for bad in engine.bad_lines()]
    for reason, text in zip(
        reasons, ("not JSON at column 2", "not UTF-8", "is null", "no line end"), strict=True
    ):
        assert text in reason
    # The unfinished line is finished, and takes the place that was kept for it.
    with path.open("ab") as file:
        file.write(b', "n": 3}\n')
    outputs = engine.run(agent_of(counts), source, key="k")
    assert [o.value for o in outputs][-1] == [3, 4]
    assert [bad.line for bad in engine.bad_lines()] == [3, 5, 6]


def test_g28_bad_lines_of_files_of_one_name_are_told_apart_where_inputs_have_ids(
    sqlite: str, tmp_path: Path
) -> None:
    for folder, lines in (("a", ['{"id": 1, "n": 1}', "x"]), ("b", ["y", '{"id": 2, "n": 2}'])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    engine = LocalEngine(sqlite)
    for folder in ("a", "b", "a"):
        source = JsonlSource(tmp_path / folder / "part.jsonl", on_bad_line="skip")
        engine.run(agent_of(counts), source, key="id", id="id")
    kept = {(Path(bad.source).parent.name, bad.line) for bad in engine.bad_lines()}
    assert kept == {("a", 2), ("b", 1)}


# Keys


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("k", {"k": None}, "line 1 of in.jsonl: the field 'k' for the key is null"),
        ("k.b", {"k": {"b": None}}, "the field 'k.b' for the key is null"),
        ("k.b", {"k": None}, "'k' is null without 'b'"),
        ("k.b", {"k": {"c": 1}}, "has no field 'k.b' for the key ('k' has 'c')"),
        ("k.b", {"x": 1}, "has no field 'k.b' for the key; it has 'x'"),
        ("k", [{"k": 1}], "an array of objects, without 'k' for the key: make a line of each: jq"),
        ("k", 7, "is an int without 'k'"),
    ],
)
def test_a_key_that_is_not_there_says_so(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        run(agent_of(counts), as_file([value], tmp_path), key=key)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_may_be_a_path(tmp_path: Path) -> None:
    values = [
        {"n": 0, "user": {"id": "u1"}},
        {"n": 1, "user": {"id": "u2"}},
        {"n": 2, "user.id": "u3", "user": {"id": "not this"}},  # a field of that very name first
    ]
    engine = LocalEngine("memory://")
    for inputs in (values, as_file(values, tmp_path)):
        outputs = engine.run(agent_of(counts), inputs, key="user.id")
        assert [output.key for output in outputs] == ["u1", "u2", "u3"]


def test_nearly_one_key_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    few = [{"k": "same", "n": n} for n in range(10)]
    run(agent_of(counts), few)
    mixed = [{"k": n % 3, "n": n} for n in range(60)]
    run(agent_of(counts), mixed)
    assert not caplog.records
    nearly = [{"k": "rare" if n % 20 == 0 else "same", "n": n} for n in range(60)]
    run(agent_of(counts), nearly)
    assert len(caplog.records) == 1
    assert "nearly all of the first 60 inputs have the key 'same'" in caplog.text


def test_a_source_whose_policy_is_none_is_refused(store: str) -> None:
    source: Any = IterableSource([1])
    source.on_bad_line = "Skip"  # as one of somebody's own making may
    agent = agent_of(counts)
    with pytest.raises(ConfigurationError, match="on_bad_line='Skip' is none of stop, skip"):
        LocalEngine(store).run(agent, source, key=str)


def test_nothing_run_is_said(store: str, caplog: pytest.LogCaptureFixture) -> None:
    """An edited agent, run again, gives the outputs of before."""
    engine = LocalEngine(store)
    engine.run(agent_of(counts), rows(2), key="k")
    engine.run(agent_of(counts), rows(3), key="k")
    assert not caplog.records
    assert len(engine.run(agent_of(counts), rows(3), key="k")) == 3
    assert "nothing was run: all 3 inputs had been finished before" in caplog.text
    caplog.clear()
    engine.run(agent_of(counts), rows(1), key="k")
    assert "nothing was run: its one input had been finished before" in caplog.text


def test_where_outputs_were_delivered_is_said_when_nothing_is_run(
    store: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Another output stays empty, and nobody should have to guess why."""
    engine = LocalEngine(store, job="na me")

    def again(sink: Any) -> str:
        caplog.clear()
        engine.run(agent_of(counts), rows(2), key="k", sink=sink)
        assert len(caplog.records) <= 1
        return caplog.text

    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert again(JsonlSink(first)) == ""
    assert f"their outputs of then are in {first}" in again(JsonlSink(first))
    told = again(JsonlSink(second))
    assert f"their outputs were delivered then to {first}, and not again" in told
    command = f"perdure outputs --store {store} --job 'na me'"
    assert (command in told) is (store != "memory://")
    assert second.read_bytes() == b""
    took: list[Any] = []
    assert f"delivered then to {first}, and not again" in again(took.append)
    assert not took
    assert "the outputs are those of then" in again(None)
    engine.run(agent_of(counts), rows(3), key="k", sink=JsonlSink(second))
    assert f"delivered then to {first}, {second}, and not again" in again(JsonlSink(second))


async def fails(event: Any, ctx: Any) -> None:
    raise LookupError(event.input["n"])


def test_a_reading_that_collects_nothing_counts_all_failures_and_lists_ten(store: str) -> None:
    async def go() -> list[Any]:
        engine, found = LocalEngine(store), []
        for _ in range(2):  # of this process, then of one before
            async with engine.open(agent_of(fails)) as job:
                result = await job.drive(IterableSource(rows(25)), key="n", collect=False)
                found.append((result.inputs, result.failures, result.cancelled, result.outputs))
                found.append([info.input["n"] for info in result.failed])
        return found

    assert asyncio.run(go()) == [(25, 25, 0, []), list(range(10))] * 2


def test_a_run_that_was_taken_up_is_not_nothing(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have ended before its input is read again."""

    async def go(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(hold)
        out(ctx, "done")

    assert crash_and_resume(agent_of(go), ONE, store=store) == ["done"]
    assert "nothing was run" not in caplog.text


def test_what_ended_here_before_its_input_is_read_again_was_not_finished_before(store: str) -> None:
    async def each(event: Any, ctx: Any) -> None:
        if event.input["n"] == 1:
            await ctx.durable_execute_async(hold)
        out(ctx, event.input["n"])

    async def test() -> None:
        legs = Legs(store)
        async with legs.crashing(agent_of(each)) as job:
            runs = [await job.submit(row, key=row["n"], id=row["n"]) for row in rows(2)]
            await runs[0].wait()
            await State.gate.reached.wait()
        async with legs.opened(agent_of(each)) as job:
            await until(lambda: job.progress.completed == 1)
            both = await job.drive(as_source([*rows(3), *rows(3)]), key="n", id="n")
            assert both.inputs == 3
            # The new one's second input may come before or after its run has ended.
            assert job.progress.inputs == 6
            assert job.progress.completed == 2
            assert job.progress.already_done == 2  # the first one's, twice

    go(test)


ENDS = [GeneratorExit, asyncio.CancelledError]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_async", [False, True])
def test_g28_a_source_that_raises_what_ends_a_task_is_named(
    end: type[BaseException], is_async: bool
) -> None:
    def give() -> Iterator[Any]:
        yield from rows(3)
        raise end

    async def give_async() -> AsyncIterator[Any]:
        for each in rows(3):
            yield each
        raise end

    engine = LocalEngine("memory://")
    with pytest.raises(InputError, match=f"source 'inputs' raised {end.__name__} where") as found:
        engine.run(agent_of(counts), give_async() if is_async else give(), key="k")
    assert isinstance(found.value.__cause__, end)
    assert [each.status.value for each in engine.runs()] == ["completed"] * 3


@pytest.mark.parametrize("end", ENDS)
def test_g28_a_key_that_raises_what_ends_a_task_is_a_bad_input(end: type[BaseException]) -> None:
    def key(value: Any) -> Any:
        raise end

    with pytest.raises(InputError, match="input 0 of inputs: the key function raised"):
        LocalEngine("memory://").run(agent_of(counts), rows(1), key=key)


class Unclosable(IterableSource):
    async def open(self) -> AsyncGenerator[SourceItem, None]:
        try:
            async for each in super().open():
                yield each
        finally:
            raise OSError("cannot be closed")


def test_g28_a_source_that_fails_as_it_is_closed_does_not_hide_a_bad_input() -> None:
    with pytest.raises(InputError, match="has no field 'k' for the key"):
        LocalEngine("memory://").run(agent_of(counts), Unclosable([{"n": 1}, {"n": 2}]), key="k")


def test_g28_who_is_cancelled_as_it_reads_is_cancelled() -> None:
    async def give() -> AsyncIterator[Any]:
        yield {"k": "a", "n": 1}
        await asyncio.Event().wait()

    async def test() -> None:
        engine = LocalEngine("memory://")
        running = asyncio.ensure_future(engine.run_async(agent_of(counts), give(), key="k"))
        while not running.done():
            for _ in range(20):
                await asyncio.sleep(0)
            running.cancel()
        assert running.cancelled()

    asyncio.run(test())


@pytest.mark.parametrize("seconds", [0, 0.005])
def test_g28_a_source_that_gives_no_other_keeps_no_refused_input_back(
    store: str, seconds: float
) -> None:
    async def give() -> AsyncIterator[Any]:
        for n, name in enumerate(("x", "y", "x", "z")):  # x is another input the second time
            yield {"k": str(n), "n": n, "id": name}
            await asyncio.sleep(seconds)
        await asyncio.Event().wait()

    async def test() -> None:
        engine = LocalEngine(store)
        with pytest.raises(InputError, match="id 'x' was submitted before"):
            await engine.run_async(agent_of(counts), give(), key="k", id="id")
        assert ran(engine) == [0, 1]

    go(test)


def test_g28_a_source_that_gives_no_other_keeps_no_input_from_being_counted(store: str) -> None:
    async def give() -> AsyncIterator[Any]:
        for row in rows(3):
            yield row
        await asyncio.Event().wait()

    async def test() -> None:
        async with LocalEngine(store).open(agent_of(counts)) as job:
            driving = asyncio.ensure_future(job.drive(as_source(give()), key="k"))
            await until(lambda: job.progress.inputs == job.progress.completed == 3)
            assert not driving.done()
            job.drain_soon()
            assert (await driving).inputs == 3

    go(test)


def test_g20_inputs_that_are_counted_early_have_no_more_room(store: str) -> None:
    given: list[int] = []

    async def test() -> None:
        may_end = asyncio.Event()

        async def waits(event: Any, ctx: Any) -> None:
            await ctx.durable_execute_async(may_end.wait)
            out(ctx, event.input["n"])

        async def give() -> AsyncIterator[Any]:
            for n in range(6):
                given.append(n)
                yield {"k": n, "n": n}
                await until(lambda: job.progress.inputs == len(given))

        engine = LocalEngine(store, config={"max-runs-in-flight": 2})
        async with engine.open(agent_of(waits)) as job:
            driving = asyncio.ensure_future(job.drive(as_source(give()), key="k"))
            await until(lambda: job.progress.inputs == 2)
            await asyncio.sleep(0.05)
            assert given == [0, 1]
            may_end.set()
            assert (await driving).inputs == 6

    go(test)
