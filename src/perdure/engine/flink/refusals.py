"""What an agent may declare that does not work on Flink: refused before a job is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from perdure.agent.plan import AgentPlan
from perdure.agent.resources import ResourceSpec
from perdure.config.options import DEFAULT_VECTOR_STORE
from perdure.errors import AgentDefinitionError
from perdure.llm.tool import Tool
from perdure.llm.vector_store import VectorStore

__all__ = ["check_plan"]

_OWN_STORES: Final = ("perdure.VectorStore", "perdure.llm.vector_store.VectorStore")


def check_plan(plan: AgentPlan, store: str) -> None:
    """Refuse an agent that declares what a store in a Flink job cannot do.

    What an action asks for while it runs is refused then, see `runtime.shared.reach`.

    Args:
        plan: the agent.
        store: the store's URL, for messages.

    Raises:
        AgentDefinitionError: names what it declares, where, and what to do.
    """
    for wrong in _found(plan, store):
        raise AgentDefinitionError(wrong)


def _found(plan: AgentPlan, store: str) -> Iterator[str]:
    for spec in plan.resources.values():
        what = f"{spec.where}: the {spec.type.value} {spec.name!r}"
        if isinstance(spec.source, Tool) and spec.source.requires_approval:
            yield (
                f"{what} requires approval, which nobody can give on {store}: let the approval come"
                " as an input of its own, or use LocalEngine with an sqlite:/// store"
            )
        if spec.name != DEFAULT_VECTOR_STORE and _is_own_store(spec):
            yield (
                f"{what} keeps its documents in the job's own store, and {store} has none: declare"
                " a PgVectorStore or a QdrantVectorStore instead"
            )


def _is_own_store(spec: ResourceSpec) -> bool:
    source = spec.source
    if isinstance(source, VectorStore):
        return True
    return getattr(source, "clazz", None) in _OWN_STORES
