"""`flink_agents` is `perdure.flink_agents`, module by module, whichever is imported first."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import perdure.flink_agents
from perdure.errors import ConfigurationError
from perdure.flink_agents.installing import install

ROOM = Path(perdure.flink_agents.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOM).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOM.rglob("*.py")
    if path.name != "__main__.py" and path != ROOM / "__init__.py"
)

BOTH_ORDERS = f"""
import importlib, sys
import perdure.flink_agents
perdure.flink_agents.install()
for number, name in enumerate({MODULES!r}):
    names = [f"flink_agents.{{name}}", f"perdure.flink_agents.{{name}}"]
    if number % 2 == int(sys.argv[1]):
        names.reverse()
    first, second = map(importlib.import_module, names)
    assert first is second, name
    assert first.__name__ == first.__spec__.name == f"perdure.flink_agents.{{name}}", name
    parent, _, last = name.rpartition(".")
    holder = importlib.import_module("flink_agents." + parent if parent else "flink_agents")
    assert getattr(holder, last) is first, name
import flink_agents
assert flink_agents is perdure.flink_agents
importlib.reload(importlib.import_module("flink_agents.api.prompts.utils"))
print(len({MODULES!r}))
"""


@pytest.mark.parametrize("order", ["0", "1"])
def test_every_module_is_one_object_by_both_names(order: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOTH_ORDERS, order], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert int(done.stdout) > 40


NAMES = json.loads(Path(__file__).with_name("names.json").read_text("utf-8"))["modules"]


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_one_object_by_both_modules_and_when_it_is_pickled(module: str) -> None:
    assert module in MODULES or f"{module}.__init__" in MODULES
    ours = importlib.import_module(f"perdure.flink_agents.{module}")
    theirs = importlib.import_module(f"flink_agents.{module}")

    assert ours is theirs is sys.modules[f"flink_agents.{module}"]
    for name in NAMES[module]:
        found = getattr(theirs, name)
        assert found is getattr(ours, name)
        if isinstance(found, type):
            assert pickle.loads(pickle.dumps(found)) is copy.deepcopy(found) is found


# Made by one name, recognised by the other.
MADE = {
    ("api.chat_message", "ChatMessage"): {"content": "hello", "extra_args": {"a": [1]}},
    ("api.events.event", "Event"): {"type": "x", "attributes": {"a": {"b": 1}}, "more": 2},
    ("api.events.event", "InputEvent"): {"input": [1]},
    ("api.events.chat_event", "ChatRequestEvent"): {"model": "m", "messages": []},
    ("api.events.tool_event", "ToolRequestEvent"): {"model": "m", "tool_calls": []},
    ("api.events.memory_event", "ShortTermWriteEvent"): {"key": "k", "value": {"a.b": 1}},
    ("api.resource", "ResourceDescriptor"): {"clazz": "pkg.mod.Class", "a": 1},
    ("api.prompts.prompt", "LocalPrompt"): {"template": "be {manner}"},
    ("api.memory_reference", "MemoryRef"): {"memory_type": ("sensory",), "path": "a.b"},
    ("api.skills", "Skills"): {},
    ("api.subagent", "SubagentResult"): {"success": True, "result": [1]},
    ("api.tools", "InjectedArg"): {"key": "tenant"},
    ("api.tools.tool_response", "ToolResponse"): {"result": {"a": 1}},
    ("api.vector_stores.vector_store", "Document"): {"content": "text", "metadata": {"a": 1}},
    ("api.vector_stores.vector_store", "VectorStoreQuery"): {"query_text": "text"},
    ("api.embedding_models.embedding_model", "EmbeddingTokenUsage"): {
        "prompt_tokens": 1, "total_tokens": 2
    },
    ("plan.configuration", "AgentConfiguration"): {"conf_data": {"a": 1}},
}  # fmt: skip


@pytest.mark.parametrize(("module", "name"), MADE)
def test_what_is_made_by_one_name_is_an_instance_by_the_other_copied_and_pickled(
    module: str, name: str
) -> None:
    theirs = getattr(importlib.import_module(f"flink_agents.{module}"), name)
    ours = getattr(importlib.import_module(f"perdure.flink_agents.{module}"), name)

    made = theirs(**MADE[module, name])

    for other in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert type(other) is ours
        assert isinstance(other, theirs)
        assert shown(other) == shown(made)


def shown(made: Any) -> Any:
    return made.model_dump() if hasattr(made, "model_dump") else vars(made)


def test_an_events_id_survives_copies_and_pickles() -> None:
    event = importlib.import_module("flink_agents.api.events.event").Event(type="x")

    assert copy.deepcopy(event).id == pickle.loads(pickle.dumps(event)).id == event.id


def test_it_is_refused_when_the_real_package_is_there(monkeypatch) -> None:
    real = types.ModuleType("flink_agents")
    real.__file__ = "/site-packages/flink_agents/__init__.py"
    monkeypatch.setitem(sys.modules, "flink_agents", real)
    with pytest.raises(ConfigurationError, match="imported already, from /site-packages"):
        install()


def test_what_is_not_here_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"flink_agents\.nothing"):
        importlib.import_module("flink_agents.nothing")


def test_importing_perdure_loads_no_pydantic() -> None:
    said = "import sys, perdure; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


SCRIPT = """
import sys
from flink_agents.api.events.event import InputEvent
print(__name__, InputEvent(input=sys.argv[1:]).input, __file__)
"""


def run_script(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perdure.flink_agents", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_a_script_runs_as_it_is(tmp_path) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    done = run_script("job.py", "--input", "3", cwd=tmp_path)

    # Its files lie beside it: `__file__` is absolute, as in a script that Python runs.
    said = f"__main__ ['--input', '3'] {script.resolve()}\n"
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_a_script_is_told_in_one_line_what_it_lacks(tmp_path) -> None:
    script = tmp_path / "job.py"
    script.write_text("import pyflink.datastream\n")
    for arguments, said in ((str(script), "perdure[flink]"), ("nowhere.py", "nowhere.py")):
        if importlib.util.find_spec("pyflink") is not None and arguments != "nowhere.py":
            continue
        done = run_script(arguments)
        assert done.returncode != 0
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
