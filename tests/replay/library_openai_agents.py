"""Agents of the OpenAI Agents SDK in an action; loaded when they are used.

What the SDK or a provider would draw is given here: ids of calls and of messages.
"""

from __future__ import annotations

from typing import Any

import agents as sdk
from agents.tool_context import ToolContext
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from tests.replay.agents import note, out, takes

from perdure import Agent, InputEvent, action
from perdure.integrations.openai_agents import DurableRunner


def call(name: str, arguments: str, id_: str) -> Any:
    """Return a tool call."""
    return ResponseFunctionToolCall(
        type="function_call", name=name, arguments=arguments, call_id=id_, id=f"fc {id_}"
    )


def said(text: str) -> Any:
    """Return a final message."""
    content = ResponseOutputText(type="output_text", text=text, annotations=[])
    return ResponseOutputMessage(
        type="message", id="msg", role="assistant", status="completed", content=[content]
    )


class FunctionModel(sdk.Model):
    """A model that is a function of the number of calls made so far."""

    def __init__(self, name: str, *answers: list[Any]) -> None:
        self.model = name
        self.answers = answers

    async def get_response(
        self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any
    ) -> sdk.ModelResponse:
        """Answer in a second."""
        items = [] if isinstance(input, str) else input
        names = [item["name"] for item in items if item.get("type") == "function_call"]
        step = names.count("book") if self.model == "back" else int(bool(names))
        note(self.model, step)
        await takes(1)
        usage = sdk.Usage(requests=1, input_tokens=5, output_tokens=1, total_tokens=6)
        return sdk.ModelResponse(output=self.answers[step], usage=usage, response_id=f"r {step}")

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        """Do not."""
        raise NotImplementedError


@sdk.function_tool
async def weather(ctx: ToolContext[Any], city: str) -> str:
    """A coroutine tool."""
    note("weather", city, ctx.tool_call_id)
    await takes(1)
    return f"sun in {city} for {ctx.context}"


@sdk.function_tool
async def photo(item: str) -> sdk.ToolOutputImage:
    """A tool that returns an image."""
    note("photo", item)
    await takes(1)
    return sdk.ToolOutputImage(image_url="data:image/png;base64,iVBORw0K", detail="low")


@sdk.function_tool
async def book(days: int) -> dict[str, Any]:
    """A tool of the second agent."""
    note("book", days)
    await takes(1)
    return {"days": days, "price": 99.5}


@sdk.input_guardrail
async def polite(ctx: Any, agent: Any, checked: Any) -> sdk.GuardrailFunctionOutput:
    """A guardrail that takes its time."""
    note("polite", agent.name)
    await takes(0.5)
    return sdk.GuardrailFunctionOutput(output_info={"polite": True}, tripwire_triggered=False)


booking = sdk.Agent(
    name="booking", instructions="Book.", tools=[book],
    model=FunctionModel("back", [call("book", '{"days": 2}', "b")], [said("2 days are booked")]),
)  # fmt: skip
reception = sdk.Agent(
    name="reception", instructions="Receive.", tools=[weather, photo], handoffs=[booking],
    input_guardrails=[polite],
    model=FunctionModel(
        "front",
        [call("weather", '{"city": "Bonn"}', "w"), call("photo", '{"item": "tent"}', "p")],
        [call("transfer_to_booking", "{}", "t")],
    ),
)  # fmt: skip


class Reception(Agent):
    """Runs the agents, and tells what they came to."""

    def __init__(self) -> None:
        self.runner = DurableRunner()

    @action(InputEvent)
    async def plan(self, event: InputEvent, ctx: Any) -> None:
        """Run them."""
        result = await self.runner.run(ctx, reception, event.input, context="Ann")
        used = result.context_wrapper.usage
        out(ctx, [result.final_output, result.last_agent.name, used.requests, used.input_tokens])
        out(ctx, [item.get("type", item.get("role")) for item in result.to_input_list()])
