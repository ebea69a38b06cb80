"""The graph of `test_langgraph.py`; nothing in it knows of perdure but the action."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send
from tests.integration.agents_support import note

from perdure import Agent, InputEvent, OutputEvent
from perdure.integrations.langgraph import DurableGraph


class Trip(MessagesState):
    """The state."""

    facts: Annotated[list[str], operator.add]


async def model(state: Trip) -> dict[str, list[AnyMessage]]:
    """Ask for two tools, then answer; no message has an id, as with many providers."""
    said = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    note(f"model {len(said)} starts")
    await asyncio.sleep(0.01)
    note(f"model {len(said)} ends")
    if said:
        return {"messages": [AIMessage("; ".join(sorted(state["facts"])))]}
    calls: Any = [{"name": name, "args": {}, "id": name} for name in ("weather", "price")]
    return {"messages": [AIMessage("let me see", tool_calls=calls)]}


def route(state: Trip) -> Any:
    """A plain conditional edge, which LangGraph would call on a thread."""
    last = state["messages"][-1]
    if isinstance(last, AIMessage) and last.tool_calls:
        return [Send(call["name"], {"tool": call["name"]}) for call in last.tool_calls]
    return "tidy"


def weather(state: Any) -> Any:
    """A plain node, on a thread of the host loop."""
    note("weather ends")
    return {"messages": [("ai", "looked")], "facts": ["sun"]}


async def price(state: Any) -> Command[Any]:
    """A node that says where to go on."""
    note("price ends")
    message = ToolMessage("99.5", tool_call_id="price")
    return Command(update={"messages": [message], "facts": ["99.5"]}, goto="pause")


async def pause(state: Trip) -> dict[str, Any]:
    """Between the tools and the model."""
    note("pause starts")
    note("pause ends")
    return {}


async def tidy(state: Trip) -> dict[str, Any]:
    """Removes by their ids what an earlier node, maybe of an earlier process, said."""
    note("tidy starts")
    extra = [m for m in state["messages"] if m.content == "looked"]
    note("tidy ends")
    return {"messages": [RemoveMessage(id=str(message.id)) for message in extra]}


builder = StateGraph(Trip)
for node in (model, weather, price, pause, tidy):
    builder.add_node(node.__name__, node)
builder.add_edge(START, "model")
builder.add_conditional_edges("model", route, ["weather", "price", "tidy"])
builder.add_edge("pause", "model")
builder.add_edge("tidy", END)
graph = builder.compile()
durable = DurableGraph(graph, name="trip")


async def plan(event: Any, ctx: Any) -> None:
    """The action."""
    state = await durable.ainvoke(ctx, {"messages": [("user", event.input["ask"])]})
    messages = [[message.type, message.content, message.id] for message in state["messages"]]
    ctx.send_event(OutputEvent(output=messages))


agent = Agent().add_action("plan", [InputEvent], plan)
