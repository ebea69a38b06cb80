"""A tool's result that the journal cannot keep as it is: the model is told, and the run goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.promises.chat_support import BOTH, model, wants
from tests.promises.support import ONE, run

from perdure import LocalEngine
from perdure.llm.message import Attachment, ChatMessage, MessageRole

SMALL = {"max-payload-bytes": 8000}
PNG = Attachment(media_type="image/png", data=b"p" * 2000, name="map")


class Widget:
    """Has no journal form."""

    def __str__(self) -> str:
        return "a widget"


class Broken:
    """Has no text either."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = object.__repr__


def endless() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


RESULTS: dict[str, Any] = {
    "long": lambda: "é" * 50_000,
    "list": lambda: [{"row": n} for n in range(5000)],
    "bytes": lambda: b"x" * 50_000,
    "widget": Widget,
    "held": lambda: {"it": [Widget()]},
    "lock": threading.Lock,
    "broken": Broken,
    "endless": endless,
    "map": lambda: ["a map", PNG],
    "maps": lambda: ["maps", PNG, Attachment(media_type="image/png", data=b"p" * 9000), PNG],
    "generator": lambda: (n for n in range(3)),
}


def look_up(what: str) -> Any:
    """Look something up."""
    return RESULTS[what]()


async def look_up_there(what: str) -> Any:
    """Look something up, on the loop."""
    await asyncio.sleep(0)
    return RESULTS[what]()


def told(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return [each for each in messages if each.role is MessageRole.TOOL]


def answers(name: str, *what: str) -> Any:
    """Want a tool called with each of these, side by side, then tell what it said."""

    def answer(messages: Any, tools: Any) -> Any:
        found = told(messages)
        if not found:
            return [
                each
                for n, one in enumerate(what)
                for each in wants(*[name] * (n + 1), what=one)[n:]
            ]
        return "\n---\n".join(
            f"{each.content[:200]}...{each.content[-150:]} [{len(each.attachments)}]"
            for each in found
        )

    return answer


@pytest.mark.parametrize("agent", BOTH)
@pytest.mark.parametrize("tool", [look_up, look_up_there])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("long", "[the result has 100000 bytes, of which these are the first 57"),
        ("list", "bytes, of which these are the first 57"),
        ("bytes", "bytes, of which these are the first 57"),
        ("widget", "a widget"),
        ("held", '{"it":["a widget"]}'),
        ("lock", "_thread.lock"),
        ("broken", "<tests.prom"),
        ("endless", "[[...]]"),
        ("generator", "generator"),
        ("map", "a map"),
        ("maps", "[image/png of 9000 bytes is left out]"),
    ],
)
def test_the_model_is_told_what_the_journal_cannot_keep(
    agent: Any, tool: Any, what: str, said: str
) -> None:
    setup = model(answers(tool.__name__, what), tools=[tool])
    [output] = run(agent(setup), ONE, config=SMALL)
    assert said in output
    assert output.endswith({"map": "[1]", "maps": "[2]"}.get(what, "[0]"))


@pytest.mark.parametrize("agent", BOTH)
def test_what_fits_is_told_as_it_is(agent: Any) -> None:
    setup = model(answers("look_up", "map"), tools=[look_up])
    [output] = run(agent(setup), ONE)
    assert output == "a map\n[map]...a map\n[map] [1]"


@pytest.mark.parametrize("agent", BOTH)
def test_results_of_tools_called_side_by_side_fit_together(agent: Any) -> None:
    setup = model(answers("look_up", "long", "list", "bytes", "long"), tools=[look_up])
    [output] = run(agent(setup), ONE, config=SMALL)
    assert output.count("bytes, of which these are the first 12") == 4


@pytest.mark.parametrize("agent", BOTH)
def test_g6_a_replay_tells_the_same_whatever_may_be_kept_now(agent: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(messages: Any, tools: Any) -> Any:
        found = told(messages)
        if len(found) < 2:
            return wants("look_up", what="long")
        seen.append(found[0].content)
        if len(seen) == 1:
            raise KeyboardInterrupt
        return "done"

    def begin(config: Any) -> Any:
        setup = model(answer, tools=[look_up])
        engine = LocalEngine(f"sqlite:///{tmp_path / 'store.db'}", config=config)
        return engine.run(agent(setup), ONE, key="k")

    with pytest.raises(KeyboardInterrupt):
        begin({"max-payload-bytes": 20_000})
    [output] = begin({})
    assert output.value == "done"
    assert seen[0] == seen[1]
    assert "the result has 100000 bytes" in seen[0]
