"""What the promise tests share: kinds of actions, a call log, and crashes.

There are two crashes. `crash_and_resume` abandons a job inside this process while a durable call
hangs in `hold`: cheap, and it works with memory:// too. `process` runs an agent in a process of its
own, which `die_once` ends with SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.inside import commits_of, delivered
from tests.patience import PATIENCE
from tests.zygote import Forked

from perdure import Agent, InputEvent, LocalEngine, Output, OutputEvent, RunsFailedError
from perdure.connectors.iterable import as_sink, as_source
from perdure.engine.job import Job

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[str] | Forked
COROUTINE, PLAIN, OFF = "coroutine", "plain", "off"
SECONDS = PATIENCE
TURNS = 50  # of the host loop: far more than anything takes that waits for no thread
ONE = [{"k": "a"}]  # the inputs of a test that one run is enough for


class Gate:
    """Where the first leg of a test gets stuck."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.open = False

    def release(self) -> None:
        """Let those go on that hang in `hold`, and nobody hang there any more."""
        self.open = True
        self.released.set()


class State:
    """What callables of a test write to and read from; new for every test."""

    gate = Gate()
    calls: list[Any] = []
    leg = 1
    won = 0  # races that an action has seen the end of
    late: Callable[[], None] = staticmethod(lambda: None)  # what `never` calls when it is stuck


def reset() -> None:
    """Forget what the test before did."""
    State.gate, State.calls, State.leg, State.won = Gate(), [], 1, 0


async def hold() -> str:
    """Hang in the first leg; return at once in the second."""
    gate = State.gate
    if not gate.open:
        gate.reached.set()
        await gate.released.wait()
    return "held"


async def echo(value: Any, delay: float = 0.0) -> Any:
    """Return `value` after a while."""
    State.calls.append(value)
    await asyncio.sleep(delay)
    return value


def echo_plain(value: Any, delay: float = 0.0) -> Any:
    """Return `value` after a while, on a thread."""
    State.calls.append(value)
    time.sleep(delay)
    return value


def agent_of(func: Callable[..., Any]) -> Agent:
    """Return an agent with one action, triggered by the input."""
    return Agent().add_action("go", [InputEvent], func)


def out(ctx: Any, value: Any) -> None:
    """Send an output."""
    ctx.send_event(OutputEvent(output=value))


def values(outputs: Iterable[Output]) -> list[Any]:
    """Return what was sent out."""
    return [output.value for output in outputs]


def config_of(kind: str, **more: Any) -> dict[str, Any]:
    """Return the configuration for a kind of action."""
    config = {name.replace("_", "-"): value for name, value in more.items()}
    return {**config, "continuations": "off"} if kind == OFF else config


def pick(kind: str, coroutine: Callable[..., Any], plain: Callable[..., Any]) -> Agent:
    """Return an agent whose action is of the kind."""
    return agent_of(coroutine if kind == COROUTINE else plain)


def run(
    agent: Any, inputs: Any, *, store: str = "memory://", config: Any = None, **more: Any
) -> list[Any]:
    """Run to the end; return the outputs' values."""
    engine = LocalEngine(store, config=config)
    return values(engine.run(agent, inputs, **{"key": "k", **more}))


def failures(
    agent: Any, inputs: Any, *, store: str = "memory://", config: Any = None, **more: Any
) -> RunsFailedError:
    """Run to the end, where some runs must have failed."""
    try:
        run(agent, inputs, store=store, config=config, **more)
    except RunsFailedError as error:
        return error
    raise AssertionError("no run failed")


def error_text(failed: RunsFailedError) -> str:
    """Return type and message of the first failed run."""
    error = failed.failed[0].error
    assert error is not None
    return f"{error['type']}: {error['message']}"


def crash_and_resume(
    agent: Any,
    inputs: list[Any],
    *,
    store: str = "memory://",
    config: Any = None,
    resume_with: Any = None,
    resume_config: Any = None,
    pause: float = 0.0,
    down: Callable[[], None] = lambda: None,
    **more: Any,
) -> list[Any]:
    """Run until an action hangs in `hold`, abandon the job, run again; return the outputs.

    Args:
        pause: seconds between the two.
        down: called between the two.
    """

    async def both() -> list[Output]:
        engine = LocalEngine(store, config=config)
        options = {"key": "k", **more}
        await _abandon(engine, agent, inputs, dict(options))
        State.gate.open, State.leg = True, 2
        await asyncio.sleep(pause)
        down()
        if store != "memory://":
            engine = LocalEngine(store, config=resume_config or config)
        again = engine.run_async(resume_with or agent, inputs, **options)
        return await asyncio.wait_for(again, SECONDS)

    return values(asyncio.run(both()))


def abandon(agent: Any, inputs: list[Any], *, store: str, config: Any = None) -> None:
    """Run until an action hangs in `hold` and abandon the job."""
    asyncio.run(_abandon(LocalEngine(store, config=config), agent, inputs, {"key": "k"}))


async def _abandon(
    engine: LocalEngine, agent: Any, inputs: list[Any], options: dict[str, Any]
) -> None:
    sink = options.pop("sink", None)
    jobs: list[Job] = []

    async def leg() -> None:
        async with engine.open(agent, sink=None if sink is None else as_sink(sink)) as job:
            jobs.append(job)
            await job.drive(as_source(inputs), **options)

    running = asyncio.ensure_future(leg())
    stuck = asyncio.ensure_future(State.gate.reached.wait())
    done, _ = await asyncio.wait(
        [running, stuck], timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    if running in done:
        running.result()
    assert stuck in done, "the first leg did not reach its crash"
    await quiet(jobs[0])
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def quiet(job: Job) -> None:
    """Return when all that happens by itself has happened, and is durable.

    What threads and timers are still at is not waited for.
    """
    commits = commits_of(job)
    before = -1
    while commits.commits != before:
        before = commits.commits
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await commits.caught_up()
        await delivered(job)


# Processes


def note(line: str) -> None:
    """Append a line to the call log of a process."""
    path = os.path.join(os.environ["PROMISE_FOLDER"], "calls.log")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def die_once(name: str = "once") -> str:
    """Kill this process the first time any process comes here."""
    marker = os.path.join(os.environ["PROMISE_FOLDER"], f"{name}.died")
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "survived"
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def process(
    agent: str,
    inputs: list[Any],
    folder: Path,
    *,
    config: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    **options: Any,
) -> Process:
    """Start an agent of `tests.promises.agents` in a process of its own.

    With PYTHONHASHSEED in `environ` Python itself starts, so that nothing lies where it did.
    """
    spec = {
        "agent": agent, "inputs": inputs, "store": f"sqlite:///{folder / 'store.db'}",
        "config": config, "options": options,
    }  # fmt: skip
    command = [sys.executable, str(Path(__file__).with_name("process.py")), json.dumps(spec)]
    env = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_inherited()]),
        "PROMISE_FOLDER": str(folder), **(environ or {}),
    }  # fmt: skip
    if not environ:
        return Forked(command, env=env, cwd=folder)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, cwd=folder)


def _inherited() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


def finish(started: Process) -> dict[str, Any]:
    """Wait for a process that comes to its end; return what it printed."""
    output, errors = started.communicate(timeout=SECONDS)
    assert started.returncode == 0, errors
    result: dict[str, Any] = json.loads(output)
    return result


def killed(started: Process) -> None:
    """Wait for a process that must have killed itself."""
    _, errors = started.communicate(timeout=SECONDS)
    assert started.returncode == -signal.SIGKILL, errors


def log_lines(folder: Path) -> list[str]:
    """Return the call log of the processes."""
    path = folder / "calls.log"
    return path.read_text("utf-8").splitlines() if path.exists() else []
