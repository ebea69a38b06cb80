"""Tools that are others when a run goes on: what was recorded of their calls counts (G6)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.promises.chat_support import BOTH, model, said_by_tools, wants
from tests.promises.support import ONE, State, crash_and_resume, echo, hold

from perdure.llm.message import ToolCall
from perdure.llm.tool import InjectedArg, Tool, tool
from perdure.runtime import job_runtime
from perdure.runtime.shared.world import World

NO_SLOW = "Error: there is no tool 'slow'; there are: "


@tool(injected_args={"of": InjectedArg.from_key()})
async def fast(x: float, of: str) -> str:
    """Return at once."""
    return str(await echo(f"{x} of {of}"))


@tool
async def slow(x: int) -> str:
    """Hang in the first life."""
    return f"slow {await hold()}"


async def stricter(x: int, more: int) -> str:
    """Take what it did not take before."""
    return await hold()


def both_named(func: Any, **options: Any) -> list[Tool]:
    """Return a function as both tools."""
    return [Tool.from_callable(func, name=each, **options) for each in ("fast", "slow")]


def asking(*names: str) -> Any:
    """Return a script: wants these tools, then answers what they said."""

    def script(messages: Any, tools: Any) -> Any:
        return "; ".join(said_by_tools(messages)) or wants(*names, x=1)

    return script


def two_lives(sort: Any, script: Any, before: Any, after: Any, store: str, **more: Any) -> Any:
    """Run until `slow` hangs, with some tools; go on with others."""
    return crash_and_resume(
        sort(model(script, tools=before)), ONE, store=store,
        resume_with=sort(model(script, tools=after)), **more,
    )  # fmt: skip


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("names", [("fast", "slow"), ("slow", "fast"), ("slow", "nil", "fast")])
def test_g6_the_result_of_a_tool_that_is_gone_since_is_used(
    sort: Any, names: tuple[str, ...], store: str
) -> None:
    """It is recorded, and whatever is made before or after it has its number still."""
    (said,) = two_lives(sort, asking(*names), [fast, slow], [], store)
    expected = {
        "fast": "1.0 of a", "slow": f"{NO_SLOW}none",
        "nil": "Error: there is no tool 'nil'; there are: fast, slow",
    }  # fmt: skip
    assert said == "; ".join(expected[name] for name in names)
    assert State.calls == ["1.0 of a"]


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("options", [{}, {"requires_approval": True}])
def test_g6_a_tool_that_takes_other_arguments_since_keeps_its_result(
    sort: Any, options: Any, store: str
) -> None:
    after = both_named(stricter, **options)
    (said,) = two_lives(sort, asking("fast", "slow"), [fast, slow], after, store)
    found, refused = said.split("; ", 1)
    assert found == "1.0 of a"
    assert refused.startswith("Error: ")
    assert "more" in refused


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("before", [[], both_named(stricter)[:1]])
def test_g6_a_call_that_was_refused_stays_refused_when_a_tool_takes_it(
    sort: Any, before: Any, store: str
) -> None:
    (said,) = two_lives(sort, asking("fast", "slow"), [*before, slow], [fast, slow], store)
    assert said.startswith("Error: ")
    assert said.endswith("; slow held")
    assert State.calls == []


def test_g6_one_after_the_other_too(store: str) -> None:
    (said,) = two_lives(
        BOTH[0], asking("fast", "nil", "slow"), [fast, slow], [fast], store,
        config={"tool-call.parallelism": 1},
    )  # fmt: skip
    assert said.startswith("1.0 of a; Error: there is no tool 'nil'; there are: fast, slow; ")
    assert said.endswith(f"{NO_SLOW}fast")


@pytest.mark.parametrize("sort", BOTH)
def test_g6_an_action_that_began_by_the_rules_of_before_keeps_no_refusals(
    sort: Any, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal has no call where a tool was refused: it goes on alike."""
    lives = iter([World(rules=2), World()])
    monkeypatch.setattr(job_runtime, "World", lambda: next(lives))
    tools = [fast, slow]
    (said,) = two_lives(sort, asking("nil", "fast", "slow"), tools, tools, sqlite)
    assert said == "Error: there is no tool 'nil'; there are: fast, slow; 1.0 of a; slow held"
    assert State.calls == ["1.0 of a"]


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("name", ["no name", "\ud800", "x" * 100, ""])
def test_what_no_tool_can_be_called_is_answered_too(sort: Any, name: str, store: str) -> None:
    odd = {"durable_id": "\ud800", "reconciler": 2**80, "": [float("nan")]}

    def script(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        bad = ToolCall(id="b", name=name, arguments=odd)
        return f"told: {len(said)}" if said else [bad, *wants("slow", x=1)]

    assert two_lives(sort, script, [slow], [slow], store) == ["told: 2"]
