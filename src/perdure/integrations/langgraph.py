"""LangGraph graphs inside an action: each execution of a node is a durable call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perdure.context import RunnerContext
from perdure.errors import missing_extra
from perdure.integrations.agent_library import (
    CallSettings,
    check_context,
    checked_settings,
    know_types,
)

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ["DurableGraph"]


class DurableGraph:
    """Runs an unchanged compiled LangGraph graph inside an `async def` action.

    Each execution of a node is one durable call of the action, with everything in it: the chat
    models and tools that it calls, and a graph that it is. What the journal keeps is the update
    that the node returned. The graph's own loop runs on the action's event loop, again from its
    top after a crash, and so do conditional edges and reducers: they may compute, no more.
    Messages get their ids before they are journaled, so that they are the same on replay.

    One instance serves any number of runs at once: it holds nothing of a run.

    Args:
        graph: the compiled graph; it is not changed. It has no checkpointer: the journal is that.
        name: the graph in the journal, where `graph.name` may change.
        node_options: options of its nodes by name, as `ctx.with_options` takes them; "*" for
            those without an entry.
    """

    def __init__(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        *,
        name: str | None = None,
        node_options: Mapping[str, CallSettings] | None = None,
    ) -> None:
        try:
            from perdure.integrations import langgraph_run
        except ImportError as error:
            raise missing_extra("DurableGraph", "langgraph", error) from error
        self._library = langgraph_run
        self.graph = graph
        self.name = name or graph.name
        self._node_options = {
            node: checked_settings(f"node_options[{node!r}]", settings)
            for node, settings in (node_options or {}).items()
        }
        self._types = langgraph_run.checked(graph, self.name)
        know_types(self._types.__annotations__.values())

    async def ainvoke(
        self, ctx: RunnerContext, input: Any, config: Any = None, **options: Any
    ) -> Any:
        """Run the graph to its end, in the action that `ctx` belongs to.

        Args:
            ctx: the action's context. Its options (`ctx.with_options`) hold where `node_options`
                say nothing.
            input: the input, as `graph.ainvoke` takes it.
            config: as `graph.ainvoke` takes it; nodes get it.
            **options: keyword arguments of `graph.ainvoke`, such as `context`.

        Returns:
            The graph's final state, as `graph.ainvoke` returns it.

        Raises:
            TypeError: `ctx` is no context.
            NonDeterminismError: the graph runs other nodes, or on another state, than the journal
                holds.
        """
        check_context("DurableGraph.ainvoke", ctx)
        run = self._library.GraphRun(ctx, self.graph, self.name, self._node_options, self._types)
        return await run.ainvoke(input, config, options)

    def __repr__(self) -> str:
        return f"DurableGraph({self.name!r})"
