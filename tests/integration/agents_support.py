"""What the tests of other libraries' agents share: a log of calls, and processes that die.

Run as a program it is one such process: it runs an agent to the end and prints its outputs.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE
from tests.zygote import Forked

from perdure import LocalEngine

ROOT = Path(__file__).parents[2]
SECONDS = PATIENCE
# What is imported once for all processes with agents of a library.
LIBRARIES = {
    "langgraph": ["langgraph.graph", "langgraph.prebuilt"],
    "openai_agents": ["agents"],
    "pydantic_ai": ["pydantic_ai", "pydantic_ai.models.function"],
}


class Log:
    """What was called, in the order of the calls, in this process; see `note`."""

    lines: list[str] = []


def note(line: str) -> None:
    """Log a line; in a process of its own, to its folder's file, which a kill does not undo.

    With PERDURE_TEST_DIE_AT the process kills itself at that line, having logged it.
    """
    folder = os.environ.get("PERDURE_TEST_FOLDER")
    if folder is None:
        Log.lines.append(line)
        return
    descriptor = os.open(f"{folder}/calls.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)
    if os.environ.get("PERDURE_TEST_DIE_AT") == line:
        os.kill(os.getpid(), signal.SIGKILL)


def start(module: str, folder: Path, inputs: list[Any], *, die_at: str = "") -> Forked:
    """Start a process that runs `agent` of a module of these tests."""
    library = next(name for name in LIBRARIES if module.startswith(name))
    return Forked(
        [sys.executable, __file__, module, json.dumps(inputs)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PERDURE_TEST_FOLDER": str(folder),
            "PERDURE_TEST_DIE_AT": die_at,
        },
        cwd=folder,
        preload=[*LIBRARIES[library], f"perdure.integrations.{library}"],
    )


def kill_at(line: str, module: str, folder: Path, inputs: list[Any]) -> None:
    """Run a process that must kill itself at a line of its log."""
    _, errors = (process := start(module, folder, inputs, die_at=line)).communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL, errors


def finish(module: str, folder: Path, inputs: list[Any]) -> list[Any]:
    """Run a process to its end; return the values of the outputs."""
    output, errors = (process := start(module, folder, inputs)).communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    values: list[Any] = json.loads(output)
    return values


def log_of(folder: Path) -> Counter[str]:
    """Return how often each line was logged by the processes of a folder."""
    path = folder / "calls.log"
    return Counter(path.read_text("utf-8").splitlines() if path.exists() else [])


def main() -> None:
    """Run to the end."""
    module, inputs = sys.argv[1:]
    agent = importlib.import_module(f"tests.integration.{module}").agent
    folder = os.environ["PERDURE_TEST_FOLDER"]
    engine = LocalEngine(f"sqlite:///{folder}/store.db")
    outputs = engine.run(agent, json.loads(inputs), key="k")
    print(json.dumps([output.value for output in outputs]))


if __name__ == "__main__":
    main()
