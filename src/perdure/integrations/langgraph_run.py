"""One run of a LangGraph graph in an action; loaded with the first `DurableGraph`.

The graph's loop gets a copy of the graph, made for this run alone, whose nodes are durable calls.
A node's channel writes and conditional edges stay with the loop: they only compute.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AnyMessage, BaseMessage, RemoveMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import START
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.graph._branch import BranchSpec
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send

from perdure.codec.copies import own_value
from perdure.context import RunnerContext
from perdure.errors import ConfigurationError
from perdure.integrations.agent_library import CallSettings, HostCall, settings_of

Graph = CompiledStateGraph[Any, Any, Any, Any]


def checked(graph: Graph, name: str) -> Callable[[], None]:
    """Return a function whose annotations are the types that the graph's state is made of.

    Raises:
        ConfigurationError: the graph cannot run in an action.
    """
    where = f"DurableGraph {name!r}"
    if not isinstance(graph, CompiledStateGraph):
        raise ConfigurationError(
            f"{where}: a {type(graph).__name__} cannot run in an action; give a compiled StateGraph"
        )
    if graph.checkpointer or graph.store is not None or graph.cache is not None:
        raise ConfigurationError(
            f"{where}: compile it without checkpointer, store and cache, whose I/O would be done in"
            " the action; the journal keeps what its nodes return"
        )

    def types() -> None:
        pass

    schemas = {f"schema{n}": schema for n, schema in enumerate(graph.builder.schemas)}
    types.__annotations__ = {"messages": AnyMessage, "removed": RemoveMessage, **schemas}
    return types


class GraphRun:
    """One run of a graph.

    Owns: its copy of the graph. Lifecycle: one `DurableGraph.ainvoke`.
    """

    def __init__(
        self,
        ctx: RunnerContext,
        graph: Graph,
        name: str,
        options: Mapping[str, CallSettings],
        types: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._name = name
        self._options = options
        self._types = types
        self._message_keys = frozenset(
            key for key, channel in graph.channels.items() if _adds_messages(channel)
        )
        nodes = {node: self._copied(node, found) for node, found in graph.nodes.items()}
        self._graph: Graph = graph.copy({"nodes": nodes})

    def _copied(self, name: str, node: Any) -> Any:
        changes: dict[str, Any] = {"writers": [_routed_inline(writer) for writer in node.writers]}
        if name != START:
            changes["bound"] = DurableNode(node.bound, name, self)
        return node.copy(changes)

    async def ainvoke(self, input: Any, config: Any, options: dict[str, Any]) -> Any:
        """Run the graph on the action's loop."""
        return await self._graph.ainvoke(self.with_ids(input, self._ctx.uuid4), config, **options)

    async def node(
        self, name: str, bound: Runnable[Any, Any], input: Any, config: RunnableConfig
    ) -> Any:
        """Execute a node as a durable call; return its update."""
        given = own_value(input)  # what a node changes in place, no other one may see: a replay
        # would not have it

        async def body() -> Any:
            try:
                return self._dumped(await bound.ainvoke(own_value(given), config))
            except ParentCommand as up:  # a graph in a node says where its parent goes on
                return ["parent", self._dumped(up.args[0])]
            except GraphBubbleUp as up:
                raise ConfigurationError(
                    f"node {name!r} of DurableGraph {self._name!r} made a"
                    f" {type(up).__name__}: nodes cannot interrupt here; wait for people with"
                    " ctx.wait_for_signal, between two graphs"
                ) from None

        settings = settings_of(self._options, name)
        ctx = self._ctx.with_options(**settings, durable_id=f"langgraph:{self._name}:node:{name}")
        # In the node's own variables: what it calls finds its configuration there.
        call = HostCall(body, contextvars.copy_context(), self._types)
        return _loaded(await ctx.durable_execute_async(call, input))

    # Ids of messages: the reducer of LangGraph would draw them, again on replay.

    def with_ids(self, update: Any, draw: Callable[[], uuid.UUID]) -> Any:
        """Return an update whose messages all have ids."""
        if not isinstance(update, dict) or not self._message_keys & update.keys():
            return update
        return {
            key: _with_ids(held, draw) if key in self._message_keys else held
            for key, held in update.items()
        }

    # Updates as the journal keeps them

    def _dumped(self, update: Any) -> Any:
        if isinstance(update, list | tuple):
            return ["list", [self._dumped(member) for member in update]]
        if isinstance(update, Command):
            goto = update.goto if isinstance(update.goto, list | tuple) else [update.goto]
            targets = [[to.node, to.arg] if isinstance(to, Send) else [to] for to in goto]
            return ["command", update.graph, self.with_ids(update.update, uuid.uuid4), targets]
        return ["value", self.with_ids(update, uuid.uuid4)]


def _loaded(kept: Any) -> Any:
    if kept[0] == "list":
        return [_loaded(member) for member in kept[1]]
    if kept[0] == "parent":
        raise ParentCommand(_loaded(kept[1]))
    if kept[0] == "command":
        _, graph, update, targets = kept
        goto = [to[0] if len(to) == 1 else Send(to[0], to[1]) for to in targets]
        return Command(graph=graph, update=update, goto=goto)
    return kept[1]


def _adds_messages(channel: Any) -> bool:
    reducer = getattr(channel, "operator", None)
    while isinstance(reducer, functools.partial):
        reducer = reducer.func
    return reducer is add_messages


def _with_ids(messages: Any, draw: Callable[[], uuid.UUID]) -> list[BaseMessage]:
    found = convert_to_messages(messages if isinstance(messages, list) else [messages])
    return [
        message if message.id is not None else message.model_copy(update={"id": str(draw())})
        for message in found
    ]


class InlinePath(Runnable[Any, Any]):
    """A conditional edge that is a plain function, called where the graph's loop runs."""

    def __init__(self, path: Runnable[Any, Any]) -> None:
        self._path = path

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._path.invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._path.invoke(input, config, **kwargs)


def _routed_inline(writer: Any) -> Any:
    """Return a node's writer that calls plain conditional edges without a thread."""
    branch = getattr(getattr(writer, "afunc", None), "__self__", None)
    if not isinstance(branch, BranchSpec) or getattr(branch.path, "func", None) is None:
        return writer
    inline = branch._replace(path=InlinePath(branch.path))
    made = copy.copy(writer)
    made.func, made.afunc = inline._route, inline._aroute
    return made


class DurableNode(Runnable[Any, Any]):
    """What a node does, as a durable call of the action."""

    def __init__(self, bound: Runnable[Any, Any], name: str, run: GraphRun) -> None:
        self._bound = bound
        self._node = name
        self._run = run

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise ConfigurationError(
            f"node {self._node!r}: its graph runs in an action, which has no threads to wait on"
        )

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._run.node(self._node, self._bound, input, config or {})
