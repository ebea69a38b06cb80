"""Agents whose calls end their process, and what runs one of them in a process of its own.

`start` runs an agent of this module by its name, with the store and the call log in a folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.promises.support import ROOT, SECONDS, agent_of, note, out
from tests.zygote import Forked

from perdure import Agent, LocalEngine, RetryPolicy, RunsFailedError

COUNTED = RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=0.0, count_crashes=True)


def dies(how: str) -> str:
    """End the process, each time."""
    note(f"dies {how}")
    if how == "exit":
        os._exit(70)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


async def dies_coroutine(how: str) -> str:
    """Do the same on the event loop."""
    return dies(how)


def fails_then_dies(how: str) -> str:
    """Fail the first time, end the process the second, return the third."""
    note("fails then dies")
    folder = os.environ["PROMISE_FOLDER"]
    lines = (Path(folder) / "calls.log").read_text("utf-8").count("fails then dies")
    if lines == 1:
        raise OSError("first")
    return dies(how) if lines == 2 else f"attempt {lines}"


def stuck(how: str) -> str:
    """Block until the process is asked to stop; return once a file `go` is there."""
    note("stuck")
    go = Path(os.environ["PROMISE_FOLDER"]) / "go"
    for _ in range(int(SECONDS * 100)):
        if go.exists():
            return "went on"
        time.sleep(0.01)
    raise AssertionError("nobody asked it to stop")


def fails_then_stuck(how: str) -> str:
    """Fail the first time, then do as `stuck`."""
    note("fails then stuck")
    folder = Path(os.environ["PROMISE_FOLDER"])
    if (folder / "calls.log").read_text("utf-8").count("fails then stuck") == 1:
        raise OSError("first")
    return stuck(how)


CALLEES = {
    each.__name__: each for each in (dies, dies_coroutine, fails_then_dies, stuck, fails_then_stuck)
}


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


async def _calls(event: Any, ctx: Any) -> None:
    counted = ctx.with_options(retry=COUNTED)
    try:
        callee = CALLEES[event.input["callee"]]
        out(ctx, await counted.durable_execute_async(callee, event.input["how"]))
    except Exception as error:
        out(ctx, _told(error))


def _calls_plain(event: Any, ctx: Any) -> None:
    counted = ctx.with_options(retry=COUNTED)
    try:
        callee = CALLEES[event.input["callee"]]
        if event.input.get("inline"):
            out(ctx, counted.durable_execute(callee, event.input["how"]))
        else:
            out(ctx, counted.durable_execute_async(callee, event.input["how"]).result())
    except Exception as error:
        out(ctx, _told(error))


calls_coroutine: Agent = agent_of(_calls)
calls_plain: Agent = agent_of(_calls_plain)


def start(
    agent: str, inputs: list[Any], folder: Path, config: dict[str, Any] | None = None
) -> Forked:
    """Start an agent of this module in a process of its own."""
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    return Forked(
        [sys.executable, __file__, json.dumps([agent, inputs, config])],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *inherited]),
            "PROMISE_FOLDER": str(folder),
        },
        cwd=folder,
    )


def main(agent: str, inputs: list[Any], config: dict[str, Any] | None) -> None:
    """Run the agent to the end; print its outputs and failures as JSON."""
    engine = LocalEngine(f"sqlite:///{os.environ['PROMISE_FOLDER']}/store.db", config=config)
    failed: list[Any] = []
    error = None
    try:
        outputs = engine.run(globals()[agent], inputs, key="k")
    except RunsFailedError as runs:
        outputs, failed = runs.outputs, [info.error for info in runs.failed]
    except KeyboardInterrupt:
        outputs, error = [], "KeyboardInterrupt"
    print(json.dumps({"outputs": [o.value for o in outputs], "failed": failed, "error": error}))


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
