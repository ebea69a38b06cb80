"""G4: every output reaches the sink; a transactional sink shows each exactly once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import agent_of, crash_and_resume, hold, out, run, values

from perdure import JsonlSink, LocalEngine, Output
from perdure.errors import SinkError, StoreError
from perdure.store.sqlite.memory_store import MemoryStore

INPUTS = [{"k": n % 3, "n": n} for n in range(30)]


async def sends_two(event: Any, ctx: Any) -> None:
    n = event.input["n"]
    out(ctx, [n, "first"])
    out(ctx, [n, "second"])


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def expected(key: int) -> list[Any]:
    return [[n, which] for n in range(key, 30, 3) for which in ("first", "second")]


def test_g4_a_sink_gets_every_output_in_the_order_of_its_key(store: str) -> None:
    delivered: list[Output] = []
    results = LocalEngine(store).run(agent_of(sends_two), INPUTS, key="k", sink=delivered.append)
    assert delivered == results
    for key in range(3):
        assert [o.value for o in delivered if o.key == key] == expected(key)
    assert len({o.id for o in delivered}) == len(delivered) == 60


def test_g4_a_callable_sink_that_fails_gets_all_again_at_least_once(sqlite: str) -> None:
    delivered: list[Output] = []

    def fails_once(output: Output) -> None:
        if len(delivered) == 17:
            delivered.append(output)
            raise ConnectionError("gone")
        delivered.append(output)

    with pytest.raises(SinkError, match="gone"):
        run(agent_of(sends_two), INPUTS, store=sqlite, sink=fails_once)
    results = LocalEngine(sqlite).run(agent_of(sends_two), INPUTS, key="k", sink=fails_once)
    assert {o.id for o in delivered} == {o.id for o in results}
    assert len(results) == 60
    by_id = {o.id: o for o in delivered}
    assert all(by_id[o.id] == o for o in results)
    # The first showing of each is in the order of its key.
    for key in range(3):
        shown = list(dict.fromkeys(tuple(o.value) for o in delivered if o.key == key))
        assert [list(value) for value in shown] == expected(key)


async def slowly(output: Output) -> None:
    await asyncio.sleep(0.001)


def test_g4_a_coroutine_sink_is_awaited(store: str) -> None:
    assert len(run(agent_of(sends_two), INPUTS, store=store, sink=slowly)) == 60


def test_g4_a_file_has_every_output_once_over_resumptions(store: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('"was there before"\n', "utf-8")
    engine = LocalEngine(store)
    for upto in (10, 10, 30):
        engine.run(agent_of(sends_two), INPUTS[:upto], key="k", sink=JsonlSink(path))
    first, *rest = lines(path)
    assert first == "was there before"
    assert Counter(map(tuple, rest)) == Counter(map(tuple, expected(0) + expected(1) + expected(2)))


class Unrecorded(JsonlSink):
    """Fails after a write, of which the store is not told: like a crash at that moment."""

    async def write(self, outputs: Any) -> Any:
        await super().write(outputs)
        raise SinkError("the process dies here")


def test_g4_what_a_crash_left_half_written_is_taken_back(sqlite: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    engine = LocalEngine(sqlite)
    engine.run(agent_of(sends_two), INPUTS[:10], key="k", sink=JsonlSink(path))
    before = path.read_text("utf-8")
    with pytest.raises(SinkError, match="dies here"):
        engine.run(agent_of(sends_two), INPUTS, key="k", sink=Unrecorded(path))
    written = path.read_bytes()
    assert len(written) > len(before)
    path.write_bytes(written[:-3])
    engine.run(agent_of(sends_two), INPUTS, key="k", sink=JsonlSink(path))
    assert path.read_text("utf-8").startswith(before)
    assert Counter(map(tuple, lines(path))) == Counter(
        map(tuple, expected(0) + expected(1) + expected(2))
    )


async def before_and_after(event: Any, ctx: Any) -> None:
    if event.input["n"] == 0:
        out(ctx, "committed")
        return
    out(ctx, "too early")
    await ctx.durable_execute_async(hold)
    out(ctx, "late")


def test_g3_outputs_of_an_unfinished_action_are_not_shown(store: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    inputs = [{"k": "a", "n": 0}, {"k": "a", "n": 1}]
    seen: list[Any] = []

    class Spy(JsonlSink):
        async def write(self, outputs: Any) -> Any:
            seen.append(values(outputs))
            return await super().write(outputs)

    results = crash_and_resume(agent_of(before_and_after), inputs, store=store, sink=Spy(path))
    assert results == ["committed", "too early", "late"]
    assert lines(path) == results
    assert seen == [["committed"], ["too early", "late"]]


def test_g4_outputs_recorded_without_a_sink_are_not_lost_to_run(store: str) -> None:
    engine = LocalEngine(store)
    first = engine.run(agent_of(sends_two), INPUTS, key="k")
    assert engine.run(agent_of(sends_two), INPUTS, key="k") == first
    assert [o.id for o in engine.run(agent_of(sends_two), INPUTS, key="k")] == [o.id for o in first]


def test_a_sink_is_let_go_of_when_its_job_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_store: MemoryStore, *_page: Any) -> Any:
        raise StoreError("the store broke")

    monkeypatch.setattr(MemoryStore, "unfinished", fails)
    sink = JsonlSink(tmp_path / "out.jsonl")
    engine = LocalEngine("memory://")
    with pytest.raises(StoreError, match="broke"):
        engine.run(agent_of(sends_two), INPUTS, key="k", sink=sink)
    monkeypatch.undo()
    # Its lock is free again.
    other = JsonlSink(tmp_path / "out.jsonl")
    engine.run(agent_of(sends_two), INPUTS, key="k", sink=other)
    assert len(lines(tmp_path / "out.jsonl")) == 60
