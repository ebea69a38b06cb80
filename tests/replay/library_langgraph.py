"""A LangGraph graph in an action; loaded when it is used. All messages are given their ids here."""

from __future__ import annotations

import dataclasses
import operator
from typing import Annotated, Any

from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send
from tests.replay.agents import note, out, takes

from perdure import Agent, InputEvent, action, register_type
from perdure.integrations.langgraph import DurableGraph


@register_type
@dataclasses.dataclass(frozen=True)
class Fact:
    """What the state holds of one's own types."""

    text: str


class Trip(MessagesState):
    """The state."""

    facts: Annotated[list[Fact], operator.add]


async def model(state: Trip) -> dict[str, Any]:
    """Ask for two tools, then answer."""
    said = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    note("model", len(said))
    await takes(1)
    if said:
        facts = sorted(fact.text for fact in state["facts"])
        return {"messages": [AIMessage("; ".join(facts), id="answer")]}
    calls: Any = [{"name": name, "args": {"n": 1}, "id": name} for name in ("weather", "price")]
    return {"messages": [AIMessage("let me see", tool_calls=calls, id="asks")]}


def route(state: Trip) -> Any:
    """A plain conditional edge."""
    last = state["messages"][-1]
    if isinstance(last, AIMessage) and last.tool_calls:
        return [Send(call["name"], {"tool": call["name"]}) for call in last.tool_calls]
    return "tidy"


async def weather(state: Any) -> Any:
    """A node that adds a fact."""
    note("weather")
    await takes(1)
    return {"messages": [AIMessage("looked", id="looked")], "facts": [Fact("sun")]}


async def price(state: Any) -> Command[Any]:
    """A node that says where to go on."""
    note("price")
    await takes(1)
    message = ToolMessage("99.5", tool_call_id="price", id="priced")
    return Command(update={"messages": [message], "facts": [Fact("99.5")]}, goto="pause")


async def pause(state: Trip) -> dict[str, Any]:
    """Between the tools and the model."""
    note("pause")
    await takes(1)
    return {}


async def tidy(state: Trip) -> dict[str, Any]:
    """Remove by its id what an earlier node said."""
    note("tidy")
    await takes(1)
    extra = [m for m in state["messages"] if m.content == "looked"]
    return {"messages": [RemoveMessage(id=str(message.id)) for message in extra]}


builder = StateGraph(Trip)
for node in (model, weather, price, pause, tidy):
    builder.add_node(node.__name__, node)
builder.add_edge(START, "model")
builder.add_conditional_edges("model", route, ["weather", "price", "tidy"])
builder.add_edge("pause", "model")
builder.add_edge("tidy", END)


class Traveller(Agent):
    """Runs the graph, and tells what it came to."""

    def __init__(self) -> None:
        self.graph = DurableGraph(builder.compile(), name="trip")

    @action(InputEvent)
    async def plan(self, event: InputEvent, ctx: Any) -> None:
        """Run it."""
        asked = HumanMessage(event.input, id="asked")
        state = await self.graph.ainvoke(ctx, {"messages": [asked]})
        out(ctx, [[message.type, message.content, message.id] for message in state["messages"]])
        out(ctx, sorted(fact.text for fact in state["facts"]))
