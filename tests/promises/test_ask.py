"""`ask`: a chat inside an action for those who want the answer alone; `.text` and `.output`."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from perdure import (
    Agent,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    InputEvent,
    LocalEngine,
    OutputEvent,
    OutputSchemaError,
    ResourceType,
    RunnerContext,
    RunsFailedError,
    ToolCall,
    action,
    ask,
)
from perdure.testing import ScriptedChatModel, simulate


@dataclasses.dataclass
class Verdict:
    score: int


FITTING = '{"score": 4}'


def agent_of(answers: Any, action_of: Any, **options: Any) -> Agent:
    model = ChatModel("any", connection=ScriptedChatModel(answers), **options)
    agent = Agent().add_resource("judge", ResourceType.CHAT_MODEL, model)
    return agent.add_action("go", [InputEvent.EVENT_TYPE], action_of)


def output_of(agent: Agent) -> Any:
    return LocalEngine("memory://").run(agent, ["a"], key=str)[0].value


def test_ask_gives_the_value_of_the_type_that_is_asked_for() -> None:
    async def go(event: InputEvent, ctx: RunnerContext) -> None:
        verdict = await ask(ctx, "judge", event.input, output_schema=Verdict)
        assert isinstance(verdict, Verdict)
        ctx.send_event(OutputEvent(output=verdict.score))

    assert output_of(agent_of([FITTING], go)) == 4


def test_ask_gives_the_text_where_no_form_is_asked_for() -> None:
    async def go(event: InputEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=await ask(ctx, "judge", event.input)))

    assert output_of(agent_of([FITTING], go)) == FITTING


def test_ask_gives_what_the_chat_model_asks_for() -> None:
    async def go(event: InputEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=(await ask(ctx, "judge", event.input)).score))

    assert output_of(agent_of([FITTING], go, output_schema=Verdict)) == 4


def test_ask_has_tools_called_and_several_overlap() -> None:
    async def stock(article: str) -> int:
        """Tell how many there are."""
        return 3

    async def go(event: InputEvent, ctx: RunnerContext) -> None:
        answers = await asyncio.gather(*(ask(ctx, "judge", text) for text in ("a", "b")))
        ctx.send_event(OutputEvent(output=answers))

    answers = [ToolCall(id="1", name="stock", arguments={"article": "tent"}), "Three."]
    assert output_of(agent_of(answers, go, tools=[stock])) == ["Three.", "Three."]


def test_ask_raises_where_no_answer_fits() -> None:
    async def go(event: InputEvent, ctx: RunnerContext) -> None:
        await ask(ctx, "judge", event.input, output_schema=Verdict)

    with pytest.raises(RunsFailedError) as raised:
        output_of(agent_of(lambda messages, tools: "no", go, output_retries=1))
    assert isinstance(
        raised.value.failed[0].error, OutputSchemaError
    ) or "OutputSchemaError" in str(raised.value)


def test_g5_ask_is_replayed_after_a_crash_at_any_commit() -> None:
    class Judge(Agent):
        def __init__(self) -> None:
            model = ChatModel("any", connection=ScriptedChatModel([FITTING]))
            self.add_resource("judge", ResourceType.CHAT_MODEL, model)

        @action(InputEvent)
        async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
            verdict = await ask(ctx, "judge", event.input, output_schema=Verdict)
            ctx.send_event(OutputEvent(output=verdict.score))

    assert simulate(Judge, ["a", "b"], key=str, seeds=3).crashes > 5


def test_a_response_event_has_its_text_and_its_output() -> None:
    class Judge(Agent):
        def __init__(self) -> None:
            model = ChatModel("any", connection=ScriptedChatModel([FITTING]))
            self.add_resource("judge", ResourceType.CHAT_MODEL, model)

        @action(InputEvent)
        def begin(self, event: InputEvent, ctx: RunnerContext) -> None:
            ctx.send_event(ChatRequestEvent("judge", event.input, output_schema=Verdict))

        @action(ChatResponseEvent)
        def end(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
            ctx.send_event(OutputEvent(output=(event.text, event.output)))

    text, output = output_of(Judge())
    assert (text, output) == (FITTING, {"score": 4})
