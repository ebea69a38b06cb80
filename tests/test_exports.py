"""The public names, and that naming them is all that `import perdure` does."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import perdure

PUBLIC = [
    "Agent",
    "AgentDefinitionError",
    "AgentExecutionOptions",
    "AgentFile",
    "Attachment",
    "BaseChatModelConnection",
    "BaseChatModelSetup",
    "BaseEmbeddingModelConnection",
    "BaseEmbeddingModelSetup",
    "BaseVectorStore",
    "ChatDelta",
    "ChatLimitError",
    "ChatMessage",
    "ChatModel",
    "ChatRequestEvent",
    "ChatResponseEvent",
    "ChildRun",
    "ConditionError",
    "ConfigOption",
    "Configuration",
    "ConfigurationError",
    "ContextAccessError",
    "ContextRetrievalRequestEvent",
    "ContextRetrievalResponseEvent",
    "Document",
    "DurableCall",
    "DurableCallError",
    "EmbeddingModel",
    "EncodeError",
    "Event",
    "EventType",
    "FunctionTool",
    "InjectedArg",
    "InputError",
    "InputEvent",
    "JsonlSink",
    "JsonlSource",
    "Limit",
    "LocalEngine",
    "LongTermMemory",
    "MCPServer",
    "MemoryObject",
    "MemoryRef",
    "MemorySet",
    "MemorySetItem",
    "MessageRole",
    "NonDeterminismError",
    "Outcome",
    "Output",
    "OutputEvent",
    "OutputSchemaError",
    "PerdureError",
    "Prompt",
    "ReActAgent",
    "Resource",
    "ResourceDescriptor",
    "ResourceType",
    "RetryPolicy",
    "RetryableError",
    "RunCancelledError",
    "RunStatus",
    "RunnerContext",
    "RunsFailedError",
    "SinkError",
    "StoreError",
    "SubAgent",
    "TerminalError",
    "Tool",
    "ToolArgumentsError",
    "ToolCall",
    "ToolRequestEvent",
    "ToolResponse",
    "ToolResponseEvent",
    "Usage",
    "VectorStore",
    "VectorStoreQuery",
    "VectorStoreQueryMode",
    "VectorStoreQueryResult",
    "__version__",
    "action",
    "chat",
    "chat_model_connection",
    "chat_model_setup",
    "durable",
    "embedding_model_connection",
    "embedding_model_setup",
    "is_continuation_supported",
    "load_agent",
    "mcp_server",
    "prompt",
    "register_type",
    "retrieve",
    "sub_agent",
    "tool",
    "vector_store",
    "wait",
]

# A user who never touches these must not wait for them.
HEAVY = ["asyncpg", "pydantic", "pyflink", "rich", "sqlite3", "typer", "yaml"]

_LIST_MODULES = """
import json, sys
import perdure
dir(perdure)
print(json.dumps(sorted(sys.modules)))
"""


def test_public_names_are_pinned_and_sorted() -> None:
    assert perdure.__all__ == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_importable(name: str) -> None:
    value = getattr(importlib.import_module("perdure"), name)
    assert value is not None
    assert name in dir(perdure)


@pytest.mark.parametrize("name", PUBLIC)
def test_type_checkers_see_every_public_name(name: str) -> None:
    declared: set[str] = set()
    for node in _type_checking_block():
        if isinstance(node, ast.ImportFrom):
            declared.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            declared.add(node.target.id)
    assert name in declared


def test_type_checkers_and_python_take_each_name_from_the_same_module() -> None:
    declared = {
        alias.name: node.module
        for node in _type_checking_block()
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == {name: f"perdure.{module}" for name, module in perdure._MODULES.items()}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Agnet'"):
        _ = perdure.Agnet  # type: ignore[attr-defined]


def test_import_loads_no_module_of_its_own_and_nothing_heavy() -> None:
    # -S leaves out site-packages' start-up files, which may import anything.
    source = Path(perdure.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(source)!r})"
         + _LIST_MODULES],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = json.loads(done.stdout)
    assert [name for name in loaded if name.startswith("perdure")] == ["perdure"]
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_an_agent_can_be_declared_without_anything_heavy() -> None:
    program = (
        "from perdure import Agent, InputEvent, OutputEvent, RunnerContext, action" + _LIST_MODULES
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & set(HEAVY)


def _type_checking_block() -> list[ast.stmt]:
    tree = ast.parse(Path(perdure.__file__).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return node.body
    raise AssertionError("perdure/__init__.py has no TYPE_CHECKING block")
