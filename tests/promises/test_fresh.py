"""`fresh=True`: a job begins anew, in another generation with nothing of those before."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import OFF, Gate, State, agent_of, config_of, hold, out, pick

from perdure import (
    Agent,
    ConfigurationError,
    Document,
    InputEvent,
    JsonlSink,
    LocalEngine,
    Output,
    OutputEvent,
    PerdureError,
    ResourceType,
    RunStatus,
    SinkError,
    StoreError,
    VectorStore,
)
from perdure.operate.history import History
from perdure.store.generations import MARK

INPUTS = [{"k": "a", "n": 1}, {"k": "a", "n": 2}, {"k": "b", "n": 3}]


def draw() -> str:
    return "drawn"


async def counts(event: Any, ctx: Any) -> None:
    """Give all that identities are made for."""
    seen = ctx.short_term_memory.get("seen", 0) + 1
    ctx.short_term_memory.set("seen", seen)
    await ctx.durable_execute_async(draw)
    out(ctx, [event.input["n"], seen, str(ctx.uuid4()), ctx.random.random()])


def counts_plainly(event: Any, ctx: Any) -> None:
    seen = ctx.short_term_memory.get("seen", 0) + 1
    ctx.short_term_memory.set("seen", seen)
    ctx.durable_execute_async(draw).result()
    out(ctx, [event.input["n"], seen, str(ctx.uuid4()), ctx.random.random()])


def seen(outputs: list[Output]) -> list[list[int]]:
    return sorted(output.value[:2] for output in outputs)


def identities(outputs: list[Output]) -> set[Any]:
    return {each for output in outputs for each in (output.id, *output.value[2:])}


def test_g12_another_generation_runs_anew_under_identities_of_its_own(
    store: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = LocalEngine(store, job="j", config=config_of(kind))
    agent = pick(kind, counts, counts_plainly)
    known: set[Any] = set()
    for generation in (1, 2, 3):
        caplog.clear()
        outputs = engine.run(agent, INPUTS, key="k", fresh=True)
        assert seen(outputs) == [[1, 1], [2, 2], [3, 1]]  # memory begins empty
        assert len(identities(outputs)) == 9
        assert not known & identities(outputs)
        known |= identities(outputs)
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == (generation > 1)
        if said:
            assert f"'j' begins anew as generation {generation}, with empty memory" in said[0]
            assert f"--job j@{generation - 1}" in said[0]
        again = engine.run(agent, INPUTS, key="k")  # resumes this generation
        assert identities(again) == identities(outputs)


def test_g12_the_first_generation_has_the_identities_of_always(store: str) -> None:
    """Whether it was asked to be fresh or not."""
    agent = agent_of(counts)
    found = []
    for fresh in (False, True):
        engine = LocalEngine(
            store if store == "memory://" else store.replace(".db", f"{fresh}.db"), job="j"
        )
        found.append(identities(engine.run(agent, INPUTS, key="k", fresh=fresh)))
    assert found[0] == found[1]


def test_a_generation_without_runs_is_as_fresh_as_can_be(store: str) -> None:
    engine = LocalEngine(store, job="j")
    for _ in range(3):
        assert engine.run(agent_of(counts), [], key="k", fresh=True) == []
    engine.run(agent_of(counts), INPUTS, key="k", fresh=True)
    with History.of(engine._store) as history:
        assert [job.title for job in history.jobs()] == ["j"]


def test_readers_take_a_generation_by_its_number(store: str) -> None:
    engine = LocalEngine(store, job="na@me")
    engine.run(agent_of(counts), INPUTS[:1], key="k", id="n")
    engine.run(agent_of(counts), INPUTS[:2], key="k", id="n", fresh=True)
    with History.of(engine._store) as history:
        found = [history.job(name) for name in ("na@me", "na@me@1", "na@me@2")]
        assert [(job.title, job.generation, job.later) for job in found] == [
            ("na@me@2", 2, 0), ("na@me@1", 1, 1), ("na@me@2", 2, 0),
        ]  # fmt: skip
        assert [sum(history.counts(job).values()) for job in found] == [2, 1, 2]
        assert history.choose_job(None) == found[0]
        assert history.jobs() == [found[0]]
        assert not any(history.is_owned(job) for job in found)
        # One id, an input of each.
        assert [len(history.run_with_outputs(job, "1").outputs) for job in found] == [1, 1, 1]
        for name in ("na@me@3", "na@me@0", "na@me@01", "na@me@", "na@2"):
            with pytest.raises(PerdureError, match="has no job"):
                history.job(name)
    assert len(engine.runs()) == 2


def test_an_older_generation_is_looked_at_and_not_changed(store: str) -> None:
    engine = LocalEngine(store, job="j")

    async def fails(event: Any, ctx: Any) -> None:
        raise ValueError("no")

    with pytest.raises(PerdureError):
        engine.run(agent_of(fails), INPUTS[:1], key="k")
    engine.run(agent_of(counts), INPUTS[:1], key="k", fresh=True)
    old = LocalEngine("memory://")
    old._store, old.job = engine._store, "j@1"
    assert old.run_info("r1").status is RunStatus.FAILED
    with pytest.raises(PerdureError, match="j@1 is a generation of job 'j'"):
        old.retry("r1")
    assert old.run_info("r1").status is RunStatus.FAILED
    assert engine.run_info("r1").status is RunStatus.COMPLETED


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["j@1", "j@2", "j@9"])
def test_a_generation_cannot_be_run_by_its_number(store: str, name: str, *, fresh: bool) -> None:
    engine = LocalEngine(store, job="j")
    engine.run(agent_of(counts), INPUTS, key="k")
    engine.run(agent_of(counts), INPUTS, key="k", fresh=True)
    engine.job = name
    with pytest.raises(ConfigurationError, match="run job 'j', or choose another name"):
        engine.run(agent_of(counts), INPUTS, key="k", fresh=fresh)


def test_names_with_an_at_sign_are_names(store: str) -> None:
    """Where no job is called as what stands before it."""
    engine = LocalEngine(store, job="ann@2")
    engine.run(agent_of(counts), INPUTS, key="k")
    assert len(engine.run(agent_of(counts), INPUTS, key="k", fresh=True)) == 3
    engine.job = "ann"
    engine.run(agent_of(counts), INPUTS[:1], key="k")
    engine.run(agent_of(counts), INPUTS[:2], key="k", fresh=True)
    with History.of(engine._store) as history:
        assert sum(history.counts(history.job("ann")).values()) == 2
        assert history.job("ann@2").title == "ann@2@2"  # its own name goes first
    engine.job = f"ann{MARK}000002"
    with pytest.raises(ConfigurationError, match="choose another"):
        engine.run(agent_of(counts), INPUTS, key="k")


# What is unfinished


async def holds(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.durable_execute_async(hold))


async def waits(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.wait_for_signal("go"))


async def leave_unfinished(engine: LocalEngine, gate: Gate) -> None:
    """Leave a run in flight, one queued behind it, one that waits, and one that is due later."""
    try:
        async with engine.open(UNFINISHED) as job:
            await job.submit({"k": "a", "does": "hold"}, key="a")
            await job.submit({"k": "a", "does": "hold"}, key="a")
            waiting = await job.submit({"k": "b", "does": "wait"}, key="b")
            await job.submit({"k": "c", "does": "hold"}, key="c", delay=3600)
            await gate.reached.wait()
            while waiting.status is not RunStatus.WAITING:
                await asyncio.sleep(0.002)
            raise asyncio.CancelledError
    except asyncio.CancelledError:
        pass


async def does(event: Any, ctx: Any) -> None:
    await (holds if event.input["does"] == "hold" else waits)(event, ctx)


UNFINISHED = agent_of(does)


def test_a_job_with_unfinished_runs_does_not_begin_anew(store: str) -> None:
    """Nothing of it is run, and nothing is lost; unless they are abandoned."""
    engine = LocalEngine(store, job="j")
    asyncio.run(leave_unfinished(engine, State.gate))
    before = [(info.id, info.status) for info in engine.runs()]
    State.gate = Gate()
    with pytest.raises(StoreError, match=r"has 4 unfinished runs.*abandon=True"):
        engine.run(UNFINISHED, [{"k": "a", "does": "hold"}], key="k", fresh=True)
    assert [(info.id, info.status) for info in engine.runs()] == before
    assert not State.gate.reached.is_set()
    State.gate.release()
    outputs = engine.run(
        UNFINISHED, [{"k": "a", "does": "hold"}], key="k", fresh=True, abandon=True
    )
    assert [output.value for output in outputs] == ["held"]
    with History.of(engine._store) as history:
        old = history.job("j@1")
        assert history.counts(old)["cancelled"] == 4
        assert history.counts(old)["unfinished"] == 0
        assert history.waits(old) == []


def test_a_retry_that_was_asked_for_is_unfinished(sqlite: str) -> None:
    """It lies in the inbox while no process runs the job."""
    engine = LocalEngine(sqlite, job="j")

    async def fails(event: Any, ctx: Any) -> None:
        raise ValueError("no")

    with pytest.raises(PerdureError):
        engine.run(agent_of(fails), INPUTS[:1], key="k")
    engine.retry("r1")
    with pytest.raises(StoreError, match="has 1 unfinished run,"):
        engine.run(agent_of(counts), INPUTS[:1], key="k", fresh=True)


def test_abandoning_goes_with_a_fresh_start(store: str) -> None:
    with pytest.raises(ConfigurationError, match="fresh=True"):
        LocalEngine(store).run(agent_of(counts), INPUTS, key="k", abandon=True)


def test_g22_a_job_that_is_owned_does_not_begin_anew(sqlite: str) -> None:
    async def go() -> None:
        async with LocalEngine(sqlite, job="j").open(agent_of(counts)) as job:
            run = await job.submit(INPUTS[0], key="a")
            await run.wait()
            with pytest.raises(StoreError, match="is open in this process already"):
                await LocalEngine(sqlite, job="j").run_async(
                    agent_of(counts), INPUTS, key="k", fresh=True, abandon=True
                )

    asyncio.run(go())
    assert len(LocalEngine(sqlite, job="j").runs()) == 1


# Outputs


class Refusing(JsonlSink):
    """Refuses outputs once it is told to."""

    refuses = False

    async def write(self, outputs: Any) -> int | None:
        if Refusing.refuses:
            raise SinkError("full")
        return await super().write(outputs)


@pytest.fixture(autouse=True)
def _takes_outputs() -> None:
    Refusing.refuses = False


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def tells(event: Any, ctx: Any) -> None:
    out(ctx, event.input["n"])


def test_g4_undelivered_outputs_are_delivered_before_a_fresh_start(
    store: str, tmp_path: Path
) -> None:
    """And the file is appended to, with all of each generation once."""
    engine, path = LocalEngine(store, job="j"), tmp_path / "out.jsonl"
    path.write_text('"of others"\n', "utf-8")
    Refusing.refuses = True
    with pytest.raises(SinkError):
        engine.run(agent_of(tells), INPUTS, key="k", sink=Refusing(path))
    Refusing.refuses = False
    assert lines(path) == ["of others"]
    # The sink may have stopped the job before all runs had ended.
    engine.run(agent_of(tells), INPUTS[:1], key="k", sink=Refusing(path), fresh=True, abandon=True)
    done = sum(run.status is RunStatus.COMPLETED for run in _runs_of(engine, "j@1"))
    assert len(lines(path)) == 1 + done + 1 > 2
    assert lines(path)[-1] == 1
    engine.run(agent_of(tells), INPUTS, key="k", sink=Refusing(path))
    assert sorted(lines(path)[1 + done :]) == [1, 2, 3]


def _runs_of(engine: LocalEngine, job: str) -> list[Any]:
    with History.of(engine._store) as history:
        return history.runs(history.job(job))


def test_a_sink_that_still_refuses_keeps_the_generation(store: str, tmp_path: Path) -> None:
    engine, path = LocalEngine(store, job="j"), tmp_path / "out.jsonl"
    engine.run(agent_of(tells), INPUTS[:1], key="k", sink=JsonlSink(path))
    Refusing.refuses = True
    with pytest.raises(SinkError):
        engine.run(agent_of(tells), INPUTS[:2], key="k", sink=Refusing(path))
    with pytest.raises(SinkError):
        engine.run(agent_of(tells), INPUTS, key="k", sink=Refusing(path), fresh=True, abandon=True)
    with History.of(engine._store) as history:
        assert history.job("j").title == "j"


def test_an_output_file_may_be_removed_before_a_fresh_start(store: str, tmp_path: Path) -> None:
    """It had everything: whether it is still there is not asked."""
    engine, path = LocalEngine(store, job="j"), tmp_path / "out.jsonl"
    engine.run(agent_of(tells), INPUTS, key="k", sink=JsonlSink(path))
    path.unlink()
    with pytest.raises(SinkError, match="is missing"):
        engine.run(agent_of(tells), INPUTS, key="k", sink=JsonlSink(path))
    engine.run(agent_of(tells), INPUTS, key="k", sink=JsonlSink(path), fresh=True)
    assert sorted(lines(path)) == [1, 2, 3]


def test_outputs_that_have_no_sink_are_named(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = LocalEngine(store, job="j")
    Refusing.refuses = True
    with pytest.raises(SinkError):
        engine.run(agent_of(tells), INPUTS[:1], key="k", sink=Refusing(tmp_path / "out.jsonl"))
    engine.run(agent_of(tells), INPUTS[:1], key="k", fresh=True, abandon=True)
    assert "1 outputs were never delivered, and there is no sink" in caplog.text
    with History.of(engine._store) as history:
        page = history.outputs_page(history.job("j@1"))
        assert [output.value for output in page.items] == [1]


# Inputs, documents, children


def test_inputs_may_be_others_in_another_generation(store: str) -> None:
    engine = LocalEngine(store, job="j")
    engine.run(agent_of(tells), INPUTS, key="k")
    engine.run(agent_of(tells), INPUTS, key="k", id="n")
    others = [{"k": "x", "n": 1}]
    assert [o.value for o in engine.run(agent_of(tells), others, key="k", fresh=True)] == [1]
    assert [o.key for o in engine.run(agent_of(tells), others, key="k", id="n")] == ["x"]


async def remembers(event: Any, ctx: Any) -> None:
    documents = ctx.get_resource("pages", ResourceType.VECTOR_STORE)
    sets = ctx.long_term_memory.get_memory_set("notes")
    sizes = [await sets.size(), await ctx.durable_execute_async(documents.size)]
    await sets.add("a note")
    await ctx.durable_execute_async(documents.add, [Document("a page")])
    out(ctx, [*sizes, ctx.long_term_memory._scope])


def test_g16_documents_and_long_term_memory_begin_empty(store: str) -> None:
    """Of a store of vectors that others share the scope is another."""
    engine = LocalEngine(store, job="j")
    engine.add_resource("pages", ResourceType.VECTOR_STORE, VectorStore())
    scopes = []
    for fresh in (False, True, True):
        (output,) = engine.run(agent_of(remembers), INPUTS[:1], key="k", fresh=fresh)
        assert output.value[:2] == [0, 0]
        scopes.append(output.value[2])
    inputs = [*INPUTS[:1], {"k": "a", "n": 9}]
    assert [o.value for o in engine.run(agent_of(remembers), inputs, key="k")] == [
        [0, 0, scopes[2]], [1, 1, scopes[2]],
    ]  # fmt: skip
    first, *later = scopes
    assert [scope.removeprefix(first) for scope in later] == ["/2", "/3"]


async def starts(event: Any, ctx: Any) -> None:
    if event.input["n"] < 2:
        child = await ctx.submit({"n": event.input["n"] + 1, "k": "child"}, key="child")
        ctx.send_event(OutputEvent(output=[o.value for o in await child.outputs()]))
    else:
        ctx.send_event(OutputEvent(output="child"))


def test_children_of_another_generation_are_runs_of_their_own(store: str) -> None:
    engine = LocalEngine(store, job="j")
    for _ in range(2):
        outputs = engine.run(
            Agent().add_action("starts", InputEvent, starts), [{"k": "p", "n": 1}],
            key="k", fresh=True,
        )  # fmt: skip
        assert [output.value for output in outputs] == [["child"]]
        assert len(engine.runs()) == 2


def test_a_job_opens_afresh_for_submissions_too(store: str) -> None:
    engine = LocalEngine(store, job="j", config=config_of(OFF))

    async def go() -> list[Any]:
        async with engine.open(agent_of(tells)) as job:
            await (await job.submit(INPUTS[0], key="a", id="1")).wait()
        job = await engine.start(agent_of(tells), fresh=True)
        run = await job.submit({"k": "b", "n": 5}, key="b", id="1")
        values = [output.value for output in await run.outputs()]
        await job.close()
        return values

    assert asyncio.run(go()) == [5]
