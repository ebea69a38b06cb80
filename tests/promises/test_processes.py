"""G3, G6, G12 over SIGKILL, in processes whose sets iterate differently."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import finish, killed, log_lines, process

ONE: list[Any] = [{"k": "a"}]


@pytest.mark.parametrize(
    ("agent", "config"),
    [
        ("crossed_coroutine", {}),
        ("crossed_plain", {}),
        ("crossed_plain", {"continuations": "off"}),
        ("crossed_plain", {"durability": "relaxed"}),
    ],
)
def test_g6_calls_and_events_before_a_sigkill_count_once(
    agent: str, config: dict[str, Any], tmp_path: Path
) -> None:
    killed(process(agent, ONE, tmp_path, config=config))
    assert sorted(log_lines(tmp_path)) == ["fast", "slow"]
    result = finish(process(agent, ONE, tmp_path, config=config))
    assert result["outputs"][0] == ["fast", "slow"]
    assert [o["event"] for o in result["outputs"][1:]] == [["fast", "slow"]]
    assert sorted(log_lines(tmp_path)) == ["fast", "slow"]
    assert finish(process(agent, ONE, tmp_path, config=config)) == result


def test_g6_a_set_as_argument_is_the_same_under_another_hash_seed(tmp_path: Path) -> None:
    inputs = [{"k": "a", "words": [f"word{n}" for n in range(20)]}]
    killed(process("passes_set", inputs, tmp_path, environ={"PYTHONHASHSEED": "1"}))
    result = finish(process("passes_set", inputs, tmp_path, environ={"PYTHONHASHSEED": "2"}))
    first, second, third = result["outputs"][0]
    assert first == third == sorted(inputs[0]["words"])
    assert second == sorted([*inputs[0]["words"], "more"])
    assert log_lines(tmp_path) == ["set"] * 3


@pytest.mark.parametrize("agent", ["settled_at_once", "settled_at_once_plain"])
def test_g6_asyncios_sets_iterate_alike_in_three_processes(agent: str, tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(3)]
    for folder in folders:
        folder.mkdir()
        (folder / "once.died").touch()
    started = [
        process(agent, ONE, folder, environ={"PYTHONHASHSEED": str(seed)})
        for seed, folder in enumerate(folders)
    ]
    first, *others = [finish(one)["outputs"] for one in started]
    assert others == [first, first]
    assert sorted(first[0]["done"]) == list(range(8))


def test_g6_a_crash_does_not_change_the_order_of_asyncios_sets(tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "once.died").touch()
    other = process("settled_at_once", ONE, calm, environ={"PYTHONHASHSEED": "5"})
    killed(process("settled_at_once", ONE, tmp_path, environ={"PYTHONHASHSEED": "6"}))
    resumed = finish(process("settled_at_once", ONE, tmp_path, environ={"PYTHONHASHSEED": "7"}))
    assert resumed["outputs"] == finish(other)["outputs"]
    assert sorted(resumed["outputs"][0]["cancelled"]) == list(range(8))


def test_g12_time_and_chance_are_the_same_after_a_sigkill(tmp_path: Path) -> None:
    killed(process("chance", ONE, tmp_path))
    drawn = [line for line in log_lines(tmp_path) if line.startswith("drew")]
    (output,) = finish(process("chance", ONE, tmp_path))["outputs"]
    lines = [line for line in log_lines(tmp_path) if line.startswith("drew")]
    assert lines == drawn * 2
    assert drawn == [f"drew {output['before']}", f"drew {output['during']}"]
    # The deadline was set in the first process: it lies 0.8 s after the first drawing of the time.
    began = datetime.datetime.fromisoformat(output["before"][0]).timestamp()
    assert output["woke"] >= began + 0.8


# One in a thread is that call's own: no Ctrl-C comes there (`test_settling`).
@pytest.mark.parametrize("how", ["coroutine", "inline"])
@pytest.mark.parametrize(
    ("agent", "config"),
    [
        ("interrupted_coroutine", {}),
        ("interrupted_plain", {}),
        ("interrupted_plain", {"continuations": "off"}),
    ],
)
def test_g9_a_keyboard_interrupt_on_the_loops_thread_is_no_outcome(
    how: str, agent: str, config: dict[str, Any], tmp_path: Path
) -> None:
    inputs = [{"k": "a", "how": how}]
    stopped = finish(process(agent, inputs, tmp_path, config=config))
    assert stopped == {"outputs": [], "failed": [], "error": "KeyboardInterrupt"}
    result = finish(process(agent, inputs, tmp_path, config=config))
    assert result["outputs"] == [["before", "went on"]]
    assert log_lines(tmp_path) == ["before", how, how]
