"""What an engine adds to every agent: the built-in actions, and long-term memory."""

from __future__ import annotations

import functools
from typing import Final

from perdure.agent.declaration import Agent
from perdure.agent.plan import AgentPlan, Builtin, BuiltinOnUse
from perdure.agent.resources import ResourceSpec
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.config.options import DEFAULT_VECTOR_STORE
from perdure.errors import ConfigurationError
from perdure.event import EventType
from perdure.resource import ResourceDescriptor, ResourceType

__all__ = ["BUILTIN", "builtin", "builtin_resources", "check_named_resources"]


@functools.cache
def builtin() -> Builtin:
    """Return what every agent has beside its own."""
    # Here: all that models, tools and documents need is behind these, and many a job has none.
    from perdure.actions.chat import chat_model_action
    from perdure.actions.memory_sets import KeyMemory
    from perdure.actions.retrieval import context_retrieval_action
    from perdure.actions.tool_call import tool_call_action
    from perdure.documents.document import VectorStoreQuery, VectorStoreQueryResult
    from perdure.llm.events import (
        ChatRequestEvent,
        ContextRetrievalRequestEvent,
        ToolRequestEvent,
        ToolResponseEvent,
    )
    from perdure.memory.long_term import MemorySetItem

    actions = (
        Agent()
        .add_action("chat_model_action", [ChatRequestEvent, ToolResponseEvent], chat_model_action)
        .add_action("tool_call_action", ToolRequestEvent, tool_call_action)
        .add_action(
            "context_retrieval_action", ContextRetrievalRequestEvent, context_retrieval_action
        )
    )
    return Builtin(
        actions=actions,
        long_term_memory=KeyMemory,
        annotated_types=(MemorySetItem, VectorStoreQuery, VectorStoreQueryResult),
    )


BUILTIN: Final = BuiltinOnUse(
    names=frozenset({"chat_model_action", "tool_call_action", "context_retrieval_action"}),
    event_types=frozenset(
        {
            EventType.ChatRequestEvent,
            EventType.ToolRequestEvent,
            EventType.ToolResponseEvent,
            EventType.ContextRetrievalRequestEvent,
        }
    ),
    load=builtin,
)
"""The same, for a plan that does without it until something of it is used."""


def builtin_resources(config: Configuration) -> list[ResourceSpec]:
    """Return the resources that every job has: the vector store of long-term memory."""
    if config.get(AgentExecutionOptions.LONG_TERM_MEMORY_VECTOR_STORE):
        return []
    model = config.get(AgentExecutionOptions.LONG_TERM_MEMORY_EMBEDDING_MODEL) or None
    store = ResourceDescriptor("perdure.llm.vector_store.VectorStore", embedding_model=model)
    return [
        ResourceSpec(
            type=ResourceType.VECTOR_STORE,
            name=DEFAULT_VECTOR_STORE,
            source=store,
            where="the engine",
            for_use=model is None,  # one with a model opens with it, which takes time
        )
    ]


def check_named_resources(config: Configuration, plan: AgentPlan) -> None:
    """Make sure that the resources which options name are declared.

    Raises:
        ConfigurationError: one is not.
    """
    for option, type_ in (
        (AgentExecutionOptions.LONG_TERM_MEMORY_VECTOR_STORE, ResourceType.VECTOR_STORE),
        (AgentExecutionOptions.LONG_TERM_MEMORY_CHAT_MODEL, ResourceType.CHAT_MODEL),
    ):
        name = config.get(option)
        if name and (type_, name) not in plan.resources:
            known = ", ".join(known for kind, known in plan.resources if kind is type_)
            raise ConfigurationError(
                f"{option.name}: there is no {type_.value} {name!r}: declare it on the agent or the"
                f" engine; declared are: {known or 'none'}"
            )
