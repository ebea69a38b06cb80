"""Chats: what the journal keeps of them, and crashes at every commit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.promises.chat_support import (
    BOTH,
    TWO_ROUNDS,
    ByEvents,
    CrashAt,
    Inside,
    model,
    output_for_each_crash,
    outputs_after_crashes,
    population,
    said_by_tools,
    two_rounds,
    wants,
    weather,
)
from tests.promises.support import (
    ONE,
    crash_and_resume,
    hold,
    run,
)

from perdure.llm.message import Attachment, ChatMessage, Usage
from perdure.llm.tool import Tool
from perdure.testing.scripted_chat import ScriptedChatModel


@pytest.mark.parametrize("sort", BOTH)
def test_all_of_a_message_survives_the_journal(sort: Any, store: str) -> None:
    image = Attachment(media_type="image/png", data=b"\x89\0", name="i.png")
    answer = ChatMessage.assistant("see", wants("weather", city="X"))
    answer = dataclasses.replace(
        answer, reasoning="I must look", attachments=[image],
        extra_args={"signature": b"\0\xff", "nested": {"a": [1]}},
        usage=Usage(input_tokens=5, output_tokens=7, cost=0.25), model="big-1",
    )  # fmt: skip
    final = dataclasses.replace(answer, tool_calls=[], content="done")

    async def slow(city: str) -> str:
        return await hold()

    def script(messages: Any, tools: Any) -> Any:
        return final if said_by_tools(messages) else answer

    setup = model(script, tools=[Tool.from_callable(slow, name="weather")])
    show = lambda e: [dataclasses.replace(e.response), e.usage.cost]  # noqa: E731
    inputs = [{"k": "a", "messages": [ChatMessage.user("look", image)]}]
    assert crash_and_resume(sort(setup, show), inputs, store=store) == [[final, 0.5]]
    asked, again = setup.connection.requests
    assert asked.messages == (ChatMessage.user("look", image),)
    assert again.messages[1] == dataclasses.replace(answer, usage=None)
    assert said_by_tools(again.messages) == ["held"]


@pytest.mark.parametrize("sort", BOTH)
def test_g6_a_crash_at_each_commit_changes_nothing(
    sort: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs: dict[str, ScriptedChatModel] = {}

    def once(store: str) -> list[Any]:
        connection = logs.setdefault(store, ScriptedChatModel(two_rounds))
        return run(
            sort(model(connection=connection, tools=[weather, population])), ONE, store=store
        )

    expected = [f"hi: {TWO_ROUNDS}"]
    found = output_for_each_crash(CrashAt(monkeypatch), once, tmp_path, both=sort is Inside)
    assert len(found) > 10
    for at, written, outputs in found:
        assert outputs == expected, (at, written)
        repeated = logs[f"sqlite:///{tmp_path}/{at}-{written}.db"].log.repeated()
        assert len(repeated) <= (0 if written else 1), (at, written, repeated)


def test_g6_many_keys_crash_again_and_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [{"k": f"k{n % 3}", "messages": [f"n{n}"]} for n in range(6)]
    connection = ScriptedChatModel(two_rounds)

    def agent() -> Any:
        return ByEvents(model(connection=connection, tools=[weather, population]))

    store = f"sqlite:///{tmp_path}/many.db"
    outputs, crashes = outputs_after_crashes(CrashAt(monkeypatch), agent, inputs, store)
    assert crashes > 3
    assert sorted(outputs) == [f"n{n}: {TWO_ROUNDS}" for n in range(6)]
