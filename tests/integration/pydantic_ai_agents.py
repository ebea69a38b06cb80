"""Agents of `test_pydantic_ai_agent.py`; nothing in them knows of perdure but the action."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from tests.integration.agents_support import note

from perdure import Agent, InputEvent, OutputEvent
from perdure.integrations.pydantic_ai import DurableAgent


def tool_results(messages: list[ModelMessage]) -> list[str]:
    """Return what the tools said so far, retries included."""
    return [
        str(part.content)
        for message in messages
        for part in message.parts
        if part.part_kind in ("tool-return", "retry-prompt")
    ]


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for two tools at once, for a third that refuses once, and answer."""
    step = sum(isinstance(message, ModelResponse) for message in messages) + 1
    note(f"model {step} starts")
    await asyncio.sleep(0.01)
    # No ids are given: the library draws them.
    if step == 1:
        parts: list[Any] = [
            ToolCallPart("weather", {"city": "Bonn"}), ToolCallPart("price", {"item": "tent"}),
        ]  # fmt: skip
    elif step == 2:
        parts = [ToolCallPart("book", {"days": 9})]
    elif step == 3:
        parts = [ToolCallPart("book", {"days": 2})]
    else:
        parts = [TextPart("; ".join(tool_results(messages)))]
    note(f"model {step} ends")
    return ModelResponse(parts=parts)


planner: PydanticAgent[str, str] = PydanticAgent(
    FunctionModel(answer), name="planner", deps_type=str, instructions="Plan the trip."
)


@planner.instructions
def for_whom(ctx: RunContext[str]) -> str:
    """Return a plain instruction, which the library would call on a thread."""
    return f"For {ctx.deps}."


@planner.tool
async def weather(ctx: RunContext[str], city: str) -> dict[str, Any]:
    """A coroutine tool that looks at the deps."""
    note("weather starts")
    await asyncio.sleep(0.01)
    note(f"weather ends {ctx.tool_call_id}")
    return {"city": city, "sun": True, "for": ctx.deps}


@planner.tool_plain
def price(item: str) -> float:
    """A plain tool."""
    note("price ends")
    return 99.5


@planner.tool_plain
async def book(days: int) -> str:
    """A tool that sends the model back once."""
    note(f"book {days} ends")
    if days > 5:
        raise ModelRetry("at most 5 days")
    return f"{days} days"


durable = DurableAgent(planner)


async def plan(event: Any, ctx: Any) -> None:
    """The action."""
    result = await durable.run(ctx, event.input["ask"], deps=event.input["who"])
    note(f"answered {event.input['k']}")
    ctx.send_event(
        OutputEvent(
            output={
                "answer": result.output,
                "requests": result.usage.requests,
                "messages": json.loads(result.all_messages_json()),
            }
        )
    )


agent = Agent().add_action("plan", [InputEvent], plan)
