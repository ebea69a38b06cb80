"""Writes docs/flink-agents-names.md from the names of Flink Agents and what is here of them.

The names are facts of Flink Agents 0.3 and 0.4, in tests/flink_agents/names.json.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = HERE.parent / "tests" / "flink_agents" / "names.json"
PAGE = HERE / "flink-agents-names.md"

ABSENT: dict[str, str] = {}  # by module
OTHER = {
    "integrations.chat_models.tongyi_chat_model": "made; refused when it is opened",
    "integrations.embedding_models.tongyi_embedding_model": "made; refused when it is opened",
    "integrations.vector_stores.chroma.chroma_vector_store": "made; refused when it is opened",
    "integrations.vector_stores.mem0.mem0_vector_store": "made; refused when it is opened",
    "api.trace": "accepted; nothing is recorded",
    "api.trace.execution_reporter": "accepted; nothing is recorded",
}
OTHER_NAMES = {
    ("api.runner_context", "AsyncExecutionResult"): "`durable_execute_async` returns a DurableCall",
    ("api.runner_context", "DurableFuture"): "is DurableCall",
    ("api.function", "PythonFunction"): "Java functions can be named and not called",
}


def modules() -> dict[str, dict[str, Any]]:
    """Return the names by module."""
    found: dict[str, dict[str, Any]] = json.loads(NAMES.read_text("utf-8"))["modules"]
    return found


def judged(module: str, name: str, described: dict[str, Any]) -> tuple[str, str]:
    """Return how a name is here, "same", "other form" or "absent", and why.

    Raises:
        KeyError: nothing explains why it is absent.
    """
    try:
        found = getattr(importlib.import_module(f"perdure.flink_agents.{module}"), name)
    except (ImportError, AttributeError):
        return "absent", ABSENT[module]
    # Several fields of one sort may stand in one entry.
    members = " ".join(described.get("members", {})).split()
    missing = [each for each in members if not has(found, each)]
    why = OTHER_NAMES.get((module, name)) or OTHER.get(module)
    if missing:
        why = f"{why + '; ' if why else ''}without {', '.join(f'`{each}`' for each in missing)}"
    return ("other form", why) if why else ("same", "")


def has(found: Any, member: str) -> bool:
    """Say whether a class has a member, which may be a field."""
    if member in getattr(found, "model_fields", {}) or hasattr(found, member):
        return True
    owners = inspect.getmro(found) if isinstance(found, type) else ()
    is_option = isinstance(found, type) and member in vars(found)
    return is_option or any(member in inspect.get_annotations(each) for each in owners)


def render() -> str:
    """Return the page."""
    counts = {"same": 0, "other form": 0, "absent": 0}
    lines = []
    for module, names in modules().items():
        for name, described in names.items():
            how, why = judged(module, name, described)
            counts[how] += 1
            lines.append(f"| `{module}` | `{name}` | {how} | {why} |")
    total = ", ".join(f"{count} {how}" for how, count in counts.items())
    return "\n".join(
        [
            "# Names of Flink Agents",
            "",
            "Every public module and name of the Python API of Flink Agents 0.3 and 0.4, and how",
            "it is in `perdure.flink_agents`. What is Java there (`Java...`) can be named,",
            "and raises when it is made. Written by `make docs`; what they do is in",
            "[porting-from-flink-agents.md](porting-from-flink-agents.md).",
            "",
            f"{sum(counts.values())} names: {total}.",
            "",
            "| module | name | here | why |",
            "|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
    print(f"{PAGE.name}: {len(render().splitlines()) - 12} names")
