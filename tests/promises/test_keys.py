"""G1, G2: the order of a key, and what makes an input the same input."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import (
    SECONDS,
    State,
    agent_of,
    config_of,
    echo,
    failures,
    out,
    pick,
    run,
    values,
)

from perdure import JsonlSource, LocalEngine, RunsFailedError, RunStatus
from perdure.errors import InputError


async def traced(event: Any, ctx: Any) -> None:
    n = event.input["n"]
    State.calls.append(("begin", ctx.key, n))
    await ctx.durable_execute_async(echo, n, 0.002 * (n * 7 % 5))
    State.calls.append(("end", ctx.key, n))
    if n % 4 == 3:
        raise LookupError(n)
    out(ctx, n)


def traced_plain(event: Any, ctx: Any) -> None:
    n = event.input["n"]
    State.calls.append(("begin", ctx.key, n))
    ctx.durable_execute_async(echo, n, 0.002 * (n * 7 % 5)).result()
    State.calls.append(("end", ctx.key, n))
    if n % 4 == 3:
        raise LookupError(n)
    out(ctx, n)


def test_g1_runs_of_a_key_go_one_at_a_time_in_order_over_failures(kind: str, store: str) -> None:
    inputs = [{"k": n % 5, "n": n} for n in range(60)]
    failed = failures(pick(kind, traced, traced_plain), inputs, store=store, config=config_of(kind))
    assert len(failed.failed) == 15
    by_key: dict[Any, list[Any]] = defaultdict(list)
    for entry in State.calls:
        if isinstance(entry, tuple):
            by_key[entry[1]].append((entry[0], entry[2]))
    for key, trace in by_key.items():
        expected = [(what, n) for n in range(key, 60, 5) for what in ("begin", "end")]
        assert trace == expected
    for key in range(5):
        mine = [o.value for o in failed.outputs if o.key == key]
        assert mine == [n for n in range(key, 60, 5) if n % 4 != 3]


KEYS = [
    1, "1", True, 1.5, None, "a_b", "a/b", "a'b\"c", "two\nlines", "", " ", "\u00e9", "e\u0301",
    b"1", (1, 2), "x" * 1_000_000, -(1 << 70),
]  # fmt: skip


async def counts(event: Any, ctx: Any) -> None:
    ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
    out(ctx, [event.input["n"], ctx.short_term_memory.get("n")])


def test_g1_keys_of_any_kind_are_kept_apart_and_come_back(store: str) -> None:
    inputs = [{"k": key, "n": n} for _ in range(2) for n, key in enumerate(KEYS)]
    outputs = LocalEngine(store).run(agent_of(counts), inputs, key="k")
    for n, key in enumerate(KEYS):
        mine = [(o.value, o.key) for o in outputs if o.value[0] == n]
        assert [value for value, _ in mine] == [[n, 1], [n, 2]]
        assert all(k == key and type(k) is type(key) for _, k in mine)


def test_g1_keys_of_any_kind_survive_another_engine(sqlite: str) -> None:
    inputs = [{"k": key, "n": n} for n, key in enumerate(KEYS)]
    run(agent_of(counts), inputs, store=sqlite)
    more = [*inputs, *inputs]
    outputs = LocalEngine(sqlite).run(agent_of(counts), more, key="k")
    assert [o.value for o in outputs[len(KEYS) :]] == [[n, 2] for n in range(len(KEYS))]
    infos = LocalEngine(sqlite).runs(key="1", limit=10)
    assert {info.sequence for info in infos} == {1, 2}


def test_g2_an_id_is_one_run_for_ever(store: str) -> None:
    async def go() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(counts)) as job:
            first = await job.submit({"n": 1}, key="a", id="one")
            second = await job.submit({"n": 1}, key="a", id="one")
            both = await asyncio.gather(
                *(job.submit({"n": 2}, key="a", id=("two", 2)) for _ in range(5))
            )
            assert first.id == second.id
            assert len({run_.id for run_ in both}) == 1
            assert values(await first.outputs()) == [[1, 1]]
            assert values(await both[4].outputs()) == [[2, 2]]
        async with engine.open(agent_of(counts)) as job:
            again = await job.submit({"n": 1}, key="a", id="one")
            assert again.id == first.id
            assert again.status is RunStatus.COMPLETED
            assert values(await asyncio.wait_for(again.outputs(), SECONDS)) == [[1, 1]]
            for value, key in (({"n": 5}, "a"), ({"n": 1}, "b")):
                with pytest.raises(InputError, match="'one' was submitted before"):
                    await job.submit(value, key=key, id="one")

    asyncio.run(go())


def test_g2_without_ids_equal_inputs_are_different_runs(store: str) -> None:
    inputs = [{"k": "a", "n": 1}] * 3
    engine = LocalEngine(store)
    first = engine.run(agent_of(counts), inputs, key="k")
    assert values(first) == [[1, 1], [1, 2], [1, 3]]
    assert engine.run(agent_of(counts), inputs, key="k") == first


def test_g2_an_id_given_twice_in_one_list_is_one_run(store: str) -> None:
    inputs = [{"k": "a", "n": 1, "id": "same"}] * 3
    assert run(agent_of(counts), inputs, store=store, id="id") == [[1, 1]]


def test_g2_an_id_that_has_no_text_is_one_run_too(store: str) -> None:
    inputs = [{"k": "a", "n": 1, "id": 10**5000}] * 3
    assert run(agent_of(counts), inputs, store=store, id="id") == [[1, 1]]


def test_g2_an_id_that_is_none_is_no_id(store: str) -> None:
    with pytest.raises(InputError, match="input 1 of inputs: the field 'i' for the id is None"):
        LocalEngine(store).run(
            agent_of(counts), [{"i": "a", "k": 1}, {"i": None, "k": None}], key="k", id="i"
        )


def test_g2_the_same_id_with_another_value_in_one_list_is_an_error(store: str) -> None:
    inputs = [{"k": "a", "n": n, "id": "same"} for n in (1, 2)]
    with pytest.raises(InputError, match="'same'"):
        run(agent_of(counts), inputs, store=store, id="id")


def test_g2_another_list_under_the_same_job_is_an_error_that_says_what_to_do(store: str) -> None:
    engine = LocalEngine(store)
    engine.run(agent_of(counts), [{"k": "a", "n": 1}], key="k")
    with pytest.raises(InputError) as caught:
        engine.run(agent_of(counts), [{"k": "a", "n": 2}], key="k")
    assert "job=" in str(caught.value)
    assert "id=" in str(caught.value)
    with pytest.raises(InputError):  # the key counts too
        engine.run(agent_of(counts), [{"k": "a", "n": 1}], key="n")


def write_lines(path: Path, numbers: list[int]) -> JsonlSource:
    path.write_text("".join(json.dumps({"k": n % 2, "n": n}) + "\n" for n in numbers), "utf-8")
    return JsonlSource(path)


def test_g2_a_changed_line_is_an_error_that_names_its_number(store: str, tmp_path: Path) -> None:
    path = tmp_path / "inputs.jsonl"
    engine = LocalEngine(store)
    engine.run(agent_of(counts), write_lines(path, [0, 1, 2, 3]), key="k")
    with pytest.raises(InputError, match=r"line 3 of inputs\.jsonl"):
        engine.run(agent_of(counts), write_lines(path, [0, 1, 7, 3]), key="k")


def test_g2_a_longer_file_runs_only_what_is_new(store: str, tmp_path: Path) -> None:
    path = tmp_path / "inputs.jsonl"
    engine = LocalEngine(store)
    first = engine.run(agent_of(counts), write_lines(path, [0, 1, 2]), key="k")
    longer = engine.run(agent_of(counts), write_lines(path, [0, 1, 2, 3, 4]), key="k")
    assert longer[:3] == first
    assert values(longer[3:]) == [[3, 2], [4, 3]]


def test_g2_the_sequence_is_the_order_of_admission(store: str) -> None:
    engine = LocalEngine(store)
    engine.run(agent_of(counts), [{"k": "a", "n": n} for n in range(5)], key="k")
    infos = engine.runs(key="a")
    assert [(info.sequence, info.input["n"]) for info in infos] == [
        (n + 1, n) for n in reversed(range(5))
    ]


def test_g2_a_key_function_that_raises_names_its_input(store: str) -> None:
    with pytest.raises(InputError, match=r"input 1 of inputs.*no field 'k'"):
        run(agent_of(counts), [{"k": 1, "n": 1}, {"n": 2}], store=store)


def test_g2_runs_before_a_bad_input_come_to_their_end(store: str) -> None:
    engine = LocalEngine(store)
    inputs: list[Any] = [{"k": 1, "n": 1}, {"k": 2, "n": 2}, {"n": 3}]
    with pytest.raises(InputError):
        engine.run(agent_of(counts), inputs, key="k")
    assert {info.status for info in engine.runs()} == {RunStatus.COMPLETED}
    assert len(engine.runs()) == 2


def test_g1_outputs_come_in_input_order_within_a_key(kind: str, store: str) -> None:
    async def slower_first(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, 1, 0.02 if event.input["n"] < 4 else 0)
        out(ctx, event.input["n"])

    def slower_first_plain(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, 1, 0.02 if event.input["n"] < 4 else 0).result()
        out(ctx, event.input["n"])

    inputs = [{"k": n % 2, "n": n} for n in range(8)]
    agent = pick(kind, slower_first, slower_first_plain)
    try:
        results = run(agent, inputs, store=store, config=config_of(kind))
    except RunsFailedError as error:
        raise AssertionError(error.failed) from error
    assert [n for n in results if n % 2] == [1, 3, 5, 7]
    assert [n for n in results if not n % 2] == [0, 2, 4, 6]


async def keeps(event: Any, ctx: Any) -> None:
    """Change the key that the action was given, in vain."""
    ctx.key.append(event.input)
    assert ctx.key == ["k", event.input]  # its own, as anything that it was given
    held = await ctx.durable_execute_async(list, ctx.key)
    out(ctx, held)


def test_g5_each_action_has_a_key_of_its_own(store: str) -> None:
    outputs = LocalEngine(store).run(agent_of(keeps), [1, 2], key=lambda value: ["k"])
    assert [each.value for each in outputs] == [["k", 1], ["k", 2]]
    outputs[0].key.append("changed")
    assert [each.key for each in outputs] == [["k", "changed"], ["k"]]


def test_the_key_of_a_run_is_not_the_list_that_was_given(store: str) -> None:
    async def main() -> None:
        async with LocalEngine(store).open(agent_of(keeps)) as job:
            key = ["k"]
            first = await job.submit(1, key=key)
            key.append("changed")
            again = job.run(first.id)
            again.key.append("changed")
            assert first.key == ["k"]
            assert [each.key for each in await first.outputs()] == [["k"]]

    asyncio.run(main())
