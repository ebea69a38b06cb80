"""`ask`: a chat inside an action for those who want the answer alone; `.text` and `.output`."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from perdure import (
    Agent,
    ChatMessage,
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
    Tool,
    ToolCall,
    action,
    ask,
    chat,
    is_continuation_supported,
)
from perdure.operate.history import History
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


def test_ask_refuses_a_schema_that_is_none_before_the_model_is_asked() -> None:
    asked: list[Any] = []

    async def go(event: InputEvent, ctx: RunnerContext) -> None:
        await ask(ctx, "judge", event.input, output_schema={"type": "objekt"})

    with pytest.raises(
        RunsFailedError, match=r"output_schema is no JSON schema: \$\.type: 'objekt'"
    ):
        output_of(agent_of(lambda messages, tools: asked.append(messages) or "{}", go))
    assert asked == []


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


# In a plain action, which cannot await


@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_a_plain_action_gets_the_answer_without_await(continuations: str, tmp_path: Any) -> None:
    said: list[str] = []

    def go(event: Any, ctx: Any) -> None:
        text = ask(ctx, "model", "say it")
        verdict = ask(ctx, "model", "judge it", output_schema=Verdict)
        after = ctx.durable_execute_async(str.upper, "after").result()
        whole = chat(ctx, "model", "again")
        said.append(text)
        ctx.send_event(OutputEvent(output=[text, verdict.score, after, whole.text]))

    def answers(messages: Any, *_more: Any) -> str:
        if len(messages) > 1:  # it was told that the first answer does not fit
            return FITTING
        return {"say it": "plain", "judge it": "no verdict", "again": "more"}[messages[0].content]

    script = ScriptedChatModel(answers)
    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_resource("model", ResourceType.CHAT_MODEL, ChatModel("any", connection=script))
    store = f"sqlite:///{tmp_path / 'ask.db'}"
    engine = LocalEngine(store, config={"continuations": continuations})
    found = engine.run(agent, [{"k": "a"}], key="k")
    assert [each.value for each in found] == [["plain", 4, "AFTER", "more"]]
    with History.open(store) as history:
        (action,) = history.detail(history.choose_job(None), "r1").actions
    names = [call.function for call in action.calls]
    assert names == ["chat:model"] * 3 + [names[3], "chat:model"]  # as in an `async def` one


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_tools_of_a_plain_action_need_continuations(continuations: str) -> None:
    def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=ask(ctx, "model", "twice 2 and 3")))

    calls = [ToolCall(id=str(n), name="double", arguments={"number": n}) for n in (2, 3)]
    script = ScriptedChatModel([ChatMessage.assistant("", calls), "4 and 6"])
    model = ChatModel("any", connection=script, tools=[Tool(double, name="double")])
    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_resource("model", ResourceType.CHAT_MODEL, model)
    engine = LocalEngine("memory://", config={"continuations": continuations})
    if continuations == "auto" and is_continuation_supported():
        assert [each.value for each in engine.run(agent, [{"k": "a"}], key="k")] == ["4 and 6"]
        return
    with pytest.raises(RunsFailedError, match="write it as `async def`"):
        engine.run(agent, [{"k": "a"}], key="k")


def test_a_plain_action_that_asks_survives_a_crash_at_any_moment() -> None:
    def go(event: Any, ctx: Any) -> None:
        texts = [ask(ctx, "model", f"number {n}") for n in range(3)]
        ctx.send_event(OutputEvent(output=texts))

    def answers(messages: Any, *_more: Any) -> str:
        return f"said {messages[-1].content}"

    def agent() -> Agent:
        model = ChatModel("any", connection=ScriptedChatModel(answers))
        made = Agent().add_action("go", [InputEvent], go)
        return made.add_resource("model", ResourceType.CHAT_MODEL, model)

    done = simulate(agent, [{"k": "a"}], key="k", seeds=2)
    assert done.crashes > 5
