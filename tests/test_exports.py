"""The public names, and that naming them is all that `import perdure` does."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import perdure

# A user who never touches these must not wait for them.
HEAVY = ["asyncpg", "pydantic", "pyflink", "rich", "sqlite3", "typer", "yaml"]

# What a job without models, tools, documents and memory of its own does not use.
UNUSED = (
    "actions.chat", "actions.memory_sets", "actions.retrieval", "actions.tool_call", "documents",
    "llm.chat_model", "llm.events", "llm.message", "llm.tool", "llm.tool_schema",
    "llm.vector_store", "memory.long_term", "operate.answers", "operate.control",
    "operate.history", "operate.run_detail", "run.infos", "runtime.shared.documents",
    "runtime.snapshot",
)  # fmt: skip

_RUN_A_JOB = """
import sys
from perdure import Agent, InputEvent, LocalEngine, OutputEvent

def go(event, ctx):
    ctx.send_event(OutputEvent(output=event.input + 1))

agent = Agent().add_action("go", InputEvent, go)
assert [each.value for each in LocalEngine(sys.argv[1]).run(agent, [1], key=str)] == [2]
"""

_LIST_MODULES = """
import json, sys
import perdure
dir(perdure)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    declared = {
        alias.name: node.module
        for node in _type_checking_block()
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == {name: f"perdure.{module}" for name, module in perdure._MODULES.items()}
    assert perdure.__all__ == sorted([*declared, "__version__"])


def test_type_checkers_take_each_name_as_public() -> None:
    for node in _type_checking_block():
        if isinstance(node, ast.ImportFrom):
            assert [alias.asname for alias in node.names] == [alias.name for alias in node.names]


@pytest.mark.parametrize("name", perdure.__all__)
def test_public_name_is_importable(name: str) -> None:
    assert getattr(importlib.import_module("perdure"), name) is not None
    assert name in dir(perdure)


def test_each_name_stands_in_one_module_of_the_table() -> None:
    names = [name for names in perdure._NAMES.values() for name in names.split()]
    assert len(names) == len(set(names)) == len(perdure._MODULES) > 0


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
    for node in reversed(tree.body):  # the last one; the first is for the module's own use
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return node.body
    raise AssertionError("perdure/__init__.py has no TYPE_CHECKING block")


def test_a_job_loads_no_rooms_that_it_does_not_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN_A_JOB + _LIST_MODULES, f"sqlite:///{tmp_path}/p.db"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = json.loads(done.stdout)
    assert "perdure.engine.local" in loaded
    unused = [f"perdure.{name}" for name in UNUSED]
    assert [each for each in loaded if any(f"{each}.".startswith(f"{u}.") for u in unused)] == []
    for name in unused:
        assert importlib.util.find_spec(name) is not None, "it has moved"
