"""LangGraph graphs in an action: what nodes have done is not done again."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import typing_extensions
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from tests.integration import agents_support as support
from tests.integration.agents_support import Log, note
from tests.integration.langgraph_graphs import graph as trip
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RetryPolicy, RunsFailedError
from perdure.errors import ConfigurationError
from perdure.integrations.langgraph import DurableGraph
from perdure.testing import simulate

MODULE = "langgraph_graphs"
INPUTS = [{"k": "a", "ask": "a trip"}]


@pytest.fixture(autouse=True)
def log() -> list[str]:
    """What was called in this process."""
    Log.lines = []
    return Log.lines


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"


class State(BaseModel):
    """A state that is a model, not a dict."""

    n: int = 0
    by: str = ""


def one_node(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile()


def outputs_of(graph: Any, inputs: Any, *, store: str = "memory://", **options: Any) -> list[Any]:
    durable = DurableGraph(graph, **options)

    async def invoke(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await durable.ainvoke(ctx, event.input["state"])))

    agent = Agent().add_action("invoke", [InputEvent], invoke)
    return [output.value for output in LocalEngine(store).run(agent, inputs, key="k")]


def test_finished_nodes_are_not_executed_again(tmp_path: Path) -> None:
    for line in ("pause starts", "model 1 starts", "tidy starts"):
        support.kill_at(line, MODULE, tmp_path, INPUTS)
    [messages] = support.finish(MODULE, tmp_path, INPUTS)
    assert [(kind, content) for kind, content, _ in messages] == [
        ("human", "a trip"), ("ai", "let me see"), ("tool", "99.5"), ("ai", "99.5; sun"),
    ]  # fmt: skip
    assert len({id_ for _, _, id_ in messages}) == 4
    lines = support.log_of(tmp_path)
    assert {count for line, count in lines.items() if "ends" in line} == {1}
    assert lines["model 0 starts"] == 1
    assert support.finish(MODULE, tmp_path, INPUTS) == [messages]
    assert support.log_of(tmp_path) == lines


def test_it_comes_to_the_same_state_whenever_it_crashes() -> None:
    durable = DurableGraph(trip)

    async def invoke(event: Any, ctx: Any) -> None:
        state = await durable.ainvoke(ctx, {"messages": [("user", event.input["ask"])]})
        said = [message.content for message in state["messages"]]
        ctx.send_event(OutputEvent(output=[said, sorted(state["facts"])]))

    simulate(Agent().add_action("invoke", [InputEvent], invoke), INPUTS, key="k", seeds=3)
    assert Log.lines.count("tidy ends") > 5


def test_interrupts_are_refused() -> None:
    def node(state: State) -> dict[str, Any]:
        return {"by": interrupt("who?")}

    with pytest.raises(RunsFailedError) as failed:
        outputs_of(one_node(node), [{"k": 1, "state": {}}])
    error = failed.value.failed[0].error
    assert error is not None
    assert "nodes cannot interrupt here" in error["message"]


def test_a_graph_in_a_node_says_where_its_parent_goes_on() -> None:
    def inner(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, update={"by": "inner"}, goto="after")

    builder = StateGraph(State)
    builder.add_node("inner", one_node(inner))
    builder.add_node("after", lambda state: {"n": 5})
    builder.add_edge(START, "inner")
    builder.add_edge("after", END)
    assert outputs_of(builder.compile(), [{"k": 1, "state": {}}]) == [{"n": 5, "by": "inner"}]


def test_nodes_find_their_configuration() -> None:
    def node(state: State) -> dict[str, Any]:
        return {"by": get_config()["metadata"]["langgraph_node"]}

    assert outputs_of(one_node(node), [{"k": 1, "state": {}}])[0]["by"] == "node"


def test_another_input_is_a_divergence(tmp_path: Path) -> None:
    support.kill_at("pause starts", MODULE, tmp_path, INPUTS)
    process = support.start("langgraph_changed", tmp_path, INPUTS)
    _, errors = process.communicate(timeout=support.SECONDS)
    assert process.returncode != 0
    assert "NonDeterminismError" in errors
    assert "langgraph:trip:node:model" in errors


def test_it_gives_what_the_graph_gives_by_itself() -> None:
    alone = asyncio.run(trip.ainvoke({"messages": [("user", "a trip")]}))
    durable = DurableGraph(trip)

    async def invoke(event: Any, ctx: Any) -> None:
        state = await durable.ainvoke(ctx, {"messages": [("user", "a trip")]})
        assert [m.content for m in state["messages"]] == [m.content for m in alone["messages"]]
        assert all(isinstance(m.id, str) for m in state["messages"])
        ctx.send_event(OutputEvent(output=state["facts"]))

    agent = Agent().add_action("invoke", [InputEvent], invoke)
    [facts] = LocalEngine("memory://").run(agent, INPUTS, key="k")
    assert facts.value == alone["facts"]


def test_many_keys_at_once_share_one_graph(store: str) -> None:
    together = asyncio.Event()
    waiting: set[int] = set()

    async def node(state: State) -> dict[str, Any]:
        waiting.add(state.n)
        if len(waiting) == 20:
            together.set()
        await asyncio.wait_for(together.wait(), PATIENCE)  # all of them are under way at once
        return {"n": state.n * 2}

    inputs = [{"k": n, "state": {"n": n}} for n in range(20)]
    found = outputs_of(one_node(node), inputs, store=store)
    assert sorted(state["n"] for state in found) == [2 * n for n in range(20)]


def test_nodes_have_options() -> None:
    def node(state: State) -> dict[str, Any]:
        note("node")
        if len(Log.lines) == 1:
            raise OSError("down")
        return {"n": 7}

    retry = RetryPolicy(max_attempts=2, initial_interval=0.0)
    [state] = outputs_of(
        one_node(node), [{"k": 1, "state": {}}], node_options={"node": {"retry": retry}}
    )
    assert state["n"] == 7
    assert Log.lines == ["node", "node"]


def test_a_graph_in_a_node_is_one_call() -> None:
    inner = one_node(lambda state: {"by": "inner"})
    assert outputs_of(one_node(inner), [{"k": 1, "state": {}}])[0]["by"] == "inner"


def test_checkpointers_are_refused() -> None:
    builder = StateGraph(State)
    builder.add_node("node", lambda state: AIMessage(""))
    builder.add_edge(START, "node")
    with pytest.raises(ConfigurationError, match="without checkpointer"):
        DurableGraph(builder.compile(checkpointer=InMemorySaver()))


def test_g21_what_a_state_is_made_of_is_known() -> None:
    cls = dataclasses.make_dataclass("Parcel", [("weight", int)])  # no module defines it
    made: Any = typing_extensions.TypedDict  # as MessagesState is
    state = made("State", {"parcel": cls})
    builder = StateGraph(state)
    builder.add_node("weigh", lambda given: {"parcel": cls(given["parcel"].weight + 1)})
    builder.set_entry_point("weigh")
    durable = DurableGraph(builder.compile())

    async def go(event: Any, ctx: Any) -> None:
        result = await durable.ainvoke(ctx, {"parcel": cls(1)})
        ctx.send_event(OutputEvent(output=result["parcel"]))

    agent = Agent().add_action("go", [InputEvent], go)
    (output,) = LocalEngine("memory://").run(agent, [1], key=str)
    assert output.value == cls(2)
