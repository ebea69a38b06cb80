"""Agents of `test_openai_agents.py`; nothing in them knows of perdure but the action."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import agents as sdk
from agents.testing import assistant_message, function_call
from agents.tool_context import ToolContext
from pydantic import BaseModel
from tests.integration.agents_support import note

from perdure import Agent, InputEvent, OutputEvent
from perdure.integrations.openai_agents import DurableRunner


def call(name: str, **arguments: Any) -> Any:
    """Return a tool call with an id that is drawn, as providers do."""
    return function_call(name, arguments, call_id=f"call_{uuid.uuid4().hex}")


def outputs(items: Any) -> list[str]:
    """Return what the tools said so far."""
    if isinstance(items, str):
        return []
    return [str(item["output"]) for item in items if item.get("type") == "function_call_output"]


class FunctionModel(sdk.Model):
    """A model that is a function of the input items."""

    def __init__(self, name: str, respond: Any) -> None:
        self.model = name
        self.respond = respond

    async def get_response(
        self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any
    ) -> sdk.ModelResponse:
        items = [] if isinstance(input, str) else input
        step = len([item for item in items if item.get("type") == "function_call"])
        note(f"{self.model} {step} starts")
        await asyncio.sleep(0.01)
        output = self.respond(system_instructions, input, step)
        note(f"{self.model} {step} ends")
        usage = sdk.Usage(requests=1, input_tokens=1, output_tokens=1, total_tokens=2)
        return sdk.ModelResponse(output=output, usage=usage, response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def front(instructions: Any, items: Any, step: int) -> list[Any]:
    """Ask for two tools at once, then hand off."""
    if step == 0:
        return [call("weather", city="Bonn"), call("price", item="tent")]
    return [call("transfer_to_booking", reason="sunny")]


def back(instructions: Any, items: Any, step: int) -> list[Any]:
    """Book, and answer."""
    if step == 3:
        return [call("book", days=2)]
    return [assistant_message(f"{instructions}: {'; '.join(outputs(items))}")]


@sdk.function_tool
async def weather(ctx: ToolContext[Any], city: str) -> str:
    """A coroutine tool."""
    note(f"weather ends {ctx.tool_call_id}")
    return f"sun in {city} for {ctx.context}"


@sdk.function_tool
def price(item: str) -> dict[str, float]:
    """A plain tool."""
    note("price ends")
    return {item: 99.5}


@sdk.function_tool
async def book(days: int) -> str:
    """A tool of the second agent."""
    note("book starts")
    await asyncio.sleep(0.01)
    note("book ends")
    return f"{days} days"


@sdk.input_guardrail
async def polite(ctx: Any, agent: Any, checked: Any) -> sdk.GuardrailFunctionOutput:
    """A guardrail that takes its time."""
    await asyncio.sleep(0.01)
    note("guardrail ends")
    return sdk.GuardrailFunctionOutput(output_info={"polite": True}, tripwire_triggered=False)


booking = sdk.Agent(
    name="booking", instructions="Booked", model=FunctionModel("back", back), tools=[book]
)


class Reason(BaseModel):
    """What the first agent says when it hands off."""

    reason: str


def told(ctx: Any, reason: Any) -> None:
    """A handoff callback, which runs in the action."""


reception = sdk.Agent(
    name="reception",
    instructions="Receive",
    model=FunctionModel("front", front),
    tools=[weather, price],
    handoffs=[sdk.handoff(booking, on_handoff=told, input_type=Reason)],
    input_guardrails=[polite],
)

runner = DurableRunner()


async def plan(event: Any, ctx: Any) -> None:
    """The action."""
    result = await runner.run(ctx, reception, event.input["ask"], context=event.input["who"])
    ctx.send_event(
        OutputEvent(
            output={
                "answer": result.final_output,
                "last": result.last_agent.name,
                "requests": result.context_wrapper.usage.requests,
                "items": result.to_input_list(),
            }
        )
    )


agent = Agent().add_action("plan", [InputEvent], plan)
