"""The names that modules had before they got their present ones.

Such a name is in other people's files: in a resource's `clazz`, in YAML, in an import. It goes on
working, without a warning, and gives the very same module. `perdure.agent`, `perdure.config` and
`perdure.memory` are packages now that give what these modules gave.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

__all__ = ["MODULES", "PACKAGES", "spec_of"]

MODULES: Final = {
    "agent_plan": "agent.plan",
    "agent_resources": "agent.resources",
    "builtin_events": "llm.events",
    "chat_model": "llm.chat_model",
    "condition": "conditions.condition",
    "condition_syntax": "conditions.syntax",
    "config_values": "config.values",
    "control": "operate.control",
    "document": "documents.document",
    "embedding_model": "llm.embedding_model",
    "history": "operate.history",
    "loading": "agent.loading",
    "long_term_memory": "memory.long_term",
    "message": "llm.message",
    "output_schema": "llm.output_schema",
    "prompts": "llm.prompt",
    "run_detail": "operate.run_detail",
    "tool_schema": "llm.tool_schema",
    "tools": "llm.tool",
    "vector_stores": "llm.vector_store",
}
# Where a package has its module's name: what `perdure.agent` itself gives.
PACKAGES: Final = {
    "agent": "agent.declaration",
    "config": "config.configuration",
    "memory": "memory.memory",
}


class _Alias(Loader):
    """Loads a module by putting another, loaded one, in its place."""

    def __init__(self, module: str) -> None:
        self.module = module

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what stands under the name when this returns.
        sys.modules[module.__name__] = import_module(self.module)


def spec_of(name: str) -> ModuleSpec | None:
    """Return how the module with an old name is found, None if there was none of that name."""
    present = MODULES.get(name.removeprefix("perdure."))
    return None if present is None else ModuleSpec(name, _Alias(f"perdure.{present}"))
