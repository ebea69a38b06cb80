"""A Pydantic AI agent in an action; loaded when it is used.

What the library would draw is given here: ids of calls, times of responses.
"""

from __future__ import annotations

import datetime
from typing import Any
from unittest import mock

import pydantic_ai._utils
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import BinaryContent, ModelRetry, RunContext, ToolOutput, ToolReturn
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from tests.replay.agents import note, out, takes

from perdure import Agent, InputEvent, action
from perdure.integrations.pydantic_ai import DurableAgent

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class _Standing(datetime.datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime.datetime:
        """Return the first moment of 2026."""
        return AT.astimezone(tz)


def pinned() -> Any:
    """Let the library's own clock stand still: it stamps what tools return."""
    return mock.patch.object(pydantic_ai._utils, "datetime", _Standing)


class Trip(BaseModel):
    """What the agent shall answer."""

    city: str
    days: int


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for two tools at once, for one that refuses once, and answer by an output function."""
    step = sum(isinstance(message, ModelResponse) for message in messages) + 1
    note("model", step)
    await takes(1)
    calls: dict[int, list[tuple[str, Any]]] = {
        1: [("weather", {"city": "Bonn"}), ("photo", {"item": "tent"})],
        2: [("book", {"days": 9})],
        3: [("book", {"days": 2})],
        4: [("planned", {"city": "Bonn", "days": 2})],
    }
    parts: list[Any] = [TextPart("let me see")] if step == 1 else []
    for number, (name, arguments) in enumerate(calls[step]):
        parts.append(ToolCallPart(name, arguments, tool_call_id=f"call {step}.{number}"))
    usage = RequestUsage(input_tokens=10 * step, output_tokens=step)
    return ModelResponse(parts=parts, usage=usage, timestamp=AT, model_name="scripted")


async def planned(trip: Trip) -> Trip:
    """The output function."""
    note("planned", trip.city)
    await takes(1)
    return Trip(city=trip.city.upper(), days=trip.days)


planner: PydanticAgent[str, Trip] = PydanticAgent(
    FunctionModel(answer, model_name="scripted"), name="planner", deps_type=str,
    instructions="Plan the trip.", output_type=ToolOutput(planned, name="planned"),
)  # fmt: skip


@planner.tool
async def weather(ctx: RunContext[str], city: str) -> dict[str, Any]:
    """A coroutine tool that looks at the deps."""
    note("weather", city, ctx.tool_call_id)
    await takes(0.5)
    return {"city": city, "sun": True, "for": ctx.deps}


@planner.tool_plain
def photo(item: str) -> ToolReturn:
    """A plain tool that returns a file too."""
    note("photo", item)
    file = BinaryContent(b"\x89PNG", media_type="image/png", identifier="photo")
    return ToolReturn(return_value=[item, 99.5], content=["see", file], metadata={"kept": 1})


@planner.tool_plain
async def book(days: int) -> str:
    """A tool that sends the model back once."""
    note("book", days)
    await takes(1)
    if days > 5:
        raise ModelRetry("at most 5 days")
    return f"{days} days"


class Planner(Agent):
    """Runs the agent, and tells what it came to."""

    def __init__(self) -> None:
        self.durable = DurableAgent(planner)

    @action(InputEvent)
    async def plan(self, event: InputEvent, ctx: Any) -> None:
        """Run it."""
        result = await self.durable.run(ctx, event.input, deps="Ann")
        usage = result.usage
        out(ctx, [result.output.city, result.output.days])
        out(ctx, [usage.requests, usage.input_tokens, usage.output_tokens])
        out(ctx, [part.part_kind for each in result.all_messages() for part in each.parts])
