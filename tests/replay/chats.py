"""Chats: tools, usage, attachments, structured output, approvals, sub-agents, fallbacks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import pydantic
from tests.replay.agents import fetch, note, out, takes
from tests.replay.harness import Expected, Scenario, at, fetched, one, submits

from perdure import (
    Agent,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    InputEvent,
    ReActAgent,
    ResourceType,
    RetryPolicy,
    SubAgent,
    action,
    chat,
    tool,
)
from perdure.engine.job import Job
from perdure.llm.message import Attachment, ChatMessage, MessageRole, ToolCall, Usage
from perdure.testing.scripted_chat import ScriptedChatModel

PNG = Attachment(media_type="image/png", data=b"\x89PNG\x00", name="photo.png")
FAR = Attachment(media_type="application/pdf", url="https://example.org/a.pdf")


class Forecast(pydantic.BaseModel):
    """What the model shall answer."""

    city: str
    degrees: list[float]
    sunny: bool = False


@dataclasses.dataclass(frozen=True)
class Decision:
    """What the one with money shall answer."""

    paid: int
    why: str | None = None


class Scripted(ScriptedChatModel):
    """A scripted model that takes a second and notes what it is asked, and for which time."""

    def __init__(self, name: str, script: Any) -> None:
        super().__init__(script)
        self._called = name

    async def chat(self, messages: Sequence[ChatMessage], *args: Any, **kwargs: Any) -> ChatMessage:
        """Answer in a second."""
        answers = sum(each.role is MessageRole.ASSISTANT for each in messages)
        note("chat", self._called, answers + 1)
        await takes(1)
        return await super().chat(messages, *args, **kwargs)


def wants(*calls: tuple[str, Any], usage: Usage | None = None, **more: Any) -> ChatMessage:
    """Return a response that wants tools called."""
    made = [ToolCall(id=f"c{n}", name=name, arguments=args) for n, (name, args) in enumerate(calls)]
    answer = ChatMessage.assistant("", made)
    return dataclasses.replace(answer, usage=usage, **more)


@tool
async def weather(city: str) -> dict[str, Any]:
    """Tell the weather of a city."""
    note("weather", city)
    await takes(1)
    return {"city": city, "degrees": [7.5, 9.0]}


@tool
def photo(city: str, wide: bool = False) -> list[str | Attachment]:
    """Return a photo of a city; a plain function."""
    note("photo", city)
    return [f"{city}, {'wide' if wide else 'narrow'}", PNG]


@tool
async def broken(city: str) -> str:
    """Fail."""
    note("broken", city)
    await takes(1)
    raise ValueError(f"no sensor in {city}")


COSTLY = Usage(input_tokens=120, output_tokens=8, cache_read_tokens=20, cost=0.25)
CHEAP = Usage(input_tokens=30, output_tokens=3, cost=0.125)


def forecasts(messages: Sequence[ChatMessage], tools: Any) -> Any:
    """Ask for all there is; give an answer that does not fit, and then one that does."""
    city = next(each.content for each in messages if each.role is MessageRole.USER)
    answers = [each for each in messages if each.role is MessageRole.ASSISTANT]
    if not answers:
        asked: list[tuple[str, Any]] = [
            ("weather", {"city": city}), ("photo", {"city": city, "wide": True}),
            ("broken", {"city": city}), ("unknown", {}), ("weather", "no JSON"),
        ]  # fmt: skip
        return wants(
            *asked, usage=COSTLY, reasoning="let me look", model="scripted-2",
            extra_args={"signature": b"\x01", "kept": [1]},
        )  # fmt: skip
    if len(answers) == 1:
        return dataclasses.replace(ChatMessage.assistant("it is sunny"), usage=CHEAP)
    return dataclasses.replace(
        ChatMessage.assistant(f'{{"city": "{city}", "degrees": [7.5, 9], "sunny": true}}'),
        usage=CHEAP,
    )


class Forecaster(Agent):
    """Asks by events, and gives what came."""

    def __init__(self) -> None:
        self.add_resource(
            "model", ResourceType.CHAT_MODEL,
            ChatModel(
                "fake", connection=Scripted("model", forecasts), prompt="You know the weather.",
                tools=[weather, photo, broken], output_schema=Forecast,
            ),
        )  # fmt: skip

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: Any) -> None:
        """Ask with a picture and a document."""
        ctx.send_event(ChatRequestEvent("model", ChatMessage.user(event.input, PNG, FAR)))

    @action(ChatResponseEvent)
    async def answer(self, event: ChatResponseEvent, ctx: Any) -> None:
        """Give the answer, what it took, and the message itself."""
        output = event.response.output
        await ctx.durable_execute_async(fetch, f"{output!r}", 2)
        out(ctx, [output, event.usage, event.rounds, event.model])
        out(ctx, event.response)


async def _asks_twice(job: Job) -> None:
    await job.submit("Bonn", key="a")
    await at(2)
    await job.submit("Rome", key="b")


def _forecast(city: str) -> list[Any]:
    forecast = Forecast(city=city, degrees=[7.5, 9.0], sunny=True)
    usage = Usage(input_tokens=180, output_tokens=14, cache_read_tokens=20, requests=3, cost=0.5)
    answer = ChatMessage(
        role=MessageRole.ASSISTANT, output=forecast, usage=CHEAP, model="scripted",
        content=f'{{"city": "{city}", "degrees": [7.5, 9], "sunny": true}}',
    )  # fmt: skip
    return [[forecast, usage, 1, "model"], answer]


# In an action


def _in_turn(*answers: Any) -> Any:
    """Return a script that gives answers by the number of those given."""

    def script(messages: Sequence[ChatMessage], tools: Any) -> Any:
        return answers[sum(each.role is MessageRole.ASSISTANT for each in messages)]

    return script


class Committee(Agent):
    """Asks several models in one action: one with a sub-agent, one with a fallback."""

    def __init__(self) -> None:
        expert = SubAgent(
            ChatModel("fake", connection=Scripted("expert", _in_turn("42, surely"))),
            name="expert", description="Knows numbers.",
        )  # fmt: skip
        lead = _in_turn(wants(("expert", {"input": "which number?"})), "the expert has spoken")
        lost = Scripted("lost", _in_turn(ConnectionError("away")))
        spare = ChatModel("fake", connection=Scripted("spare", _in_turn("here I am")), name="spare")
        once = RetryPolicy(max_attempts=1)
        for name, setup in {
            "lead": ChatModel("fake", connection=Scripted("lead", lead), tools=[expert]),
            "lost": ChatModel("fake", connection=lost, fallbacks=[spare], retry=once),
            "tooled": ChatModel(
                "fake", output_mode="tool", output_schema=Forecast,
                connection=Scripted(
                    "tooled", _in_turn(wants(("final_result", {"city": "Oslo", "degrees": []})))
                ),
            ),
            "prompted": ChatModel(
                "fake", output_mode="prompted",
                connection=Scripted("prompted", _in_turn('```json\n{"paid": 3}\n```')),
            ),
        }.items():  # fmt: skip
            self.add_resource(name, ResourceType.CHAT_MODEL, setup)

    @action(InputEvent)
    async def meet(self, event: InputEvent, ctx: Any) -> None:
        """Ask all of them at the same time, and one of them again."""
        asked = [chat(ctx, name, event.input) for name in ("lead", "lost", "tooled")]
        asked.append(chat(ctx, "prompted", event.input, output_schema=Decision))
        answers = await asyncio.gather(*asked)
        out(ctx, [[each.response.content, repr(each.response.output)] for each in answers])
        again = await chat(ctx, "lead", [ChatMessage.system("Be brief."), "again"])
        out(ctx, again.response.text)


# With approvals


@tool(requires_approval=True)
async def pay(amount: int, to: str = "Ada") -> str:
    """Pay somebody."""
    note("pay", amount, to)
    await takes(1)
    return f"paid {amount} to {to}"


def decides(messages: Sequence[ChatMessage], tools: Any) -> Any:
    """Want what the task says paid, and tell what came of it."""
    said = [each.content for each in messages if each.role is MessageRole.TOOL]
    if not said:
        return wants(("pay", {"amount": int(messages[-1].content.split()[-1])}))
    paid = int(said[0].split()[1]) if said[0].startswith("paid") else 0
    return {"paid": paid, "why": said[0]}


def spender() -> ReActAgent:
    """Return an agent that pays when a person agrees."""
    return ReActAgent(
        chat_model=ChatModel("fake", connection=Scripted("spender", decides)), tools=[pay],
        prompt="Pay {amount}", output_schema=Decision,
    )  # fmt: skip


async def _says(job: Job, name: str, amount: int, verdict: Any) -> None:
    """Decide the call that waits in a run."""
    run = await job.submit({"amount": amount}, key=name, id=name)
    while not (run.activity or {}).get("waiting_for_approval"):
        await asyncio.sleep(0.01)
    (waiting,) = run.activity["waiting_for_approval"]
    assert waiting["arguments"] == {"amount": amount}
    assert await run.signal(waiting["signal"], verdict)


async def _approves_one(job: Job) -> None:
    for amount, name in enumerate(("paid", "refused", "waits", "changed"), 5):
        await job.submit({"amount": amount}, key=name, id=name)
    await _says(job, "paid", 5, True)
    await _says(job, "refused", 6, {"approved": False, "reason": "too much"})


async def _approves_the_others(job: Job) -> None:
    await _says(job, "waits", 7, "yes")
    await _says(job, "changed", 8, {"approved": True, "arguments": {"amount": 1, "to": "Bob"}})


SCENARIOS: dict[str, Scenario] = {
    "chat": one(
        "Chats by events with tools, usage, attachments, an answer that does not fit.",
        Forecaster, _asks_twice, 5.25, first=3,
    ),
    "chat_in_an_action": one(
        "Chats in an action: a sub-agent, a fallback, structured output in two more modes.",
        Committee, submits(("what?", "c")), 3.5, first=3,
    ),
    "approvals": one(
        "Tool calls that a person agreed to, refused, and has not decided.",
        spender, _approves_one, 2.5, first=3,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "chat": Expected(
        begin=6,
        outputs={"r1": _forecast("Bonn"), "r2": _forecast("Rome")},
        executed=[
            *fetched(repr(_forecast("Bonn")[0][0])),
            ("chat", "model", 2), ("chat", "model", 3),
            *fetched(repr(_forecast("Rome")[0][0])),
        ],
        types=(ChatMessage, Forecast),
    ),
    "chat_in_an_action": Expected(
        begin=6,
        outputs={
            "r1": [
                [
                    ["the expert has spoken", "None"],
                    ["here I am", "None"],
                    ["", repr(Forecast(city="Oslo", degrees=[]))],
                    ['```json\n{"paid": 3}\n```', repr(Decision(3))],
                ],
                "the expert has spoken",
            ],
        },
        executed=[("chat", "lead", 1), ("chat", "expert", 1), ("chat", "lead", 2)],
    ),
    "approvals": Expected(
        begin=6,
        body=_approves_the_others,
        outputs={
            "r1": [Decision(5, "paid 5 to Ada")],
            "r2": [Decision(0, "Error: a person refused the call of pay: too much")],
            "r3": [Decision(7, "paid 7 to Ada")],
            "r4": [Decision(1, "paid 1 to Bob")],
        },
        executed=[
            ("chat", "spender", 2), ("pay", 7, "Ada"), ("pay", 1, "Bob"),
            ("chat", "spender", 2), ("chat", "spender", 2),
        ],
        types=(Decision,),
    ),
}  # fmt: skip
