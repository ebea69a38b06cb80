"""What leaves `engine.run`: a traceback begins with the program's own line, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import traceback
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, RunsFailedError


async def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(600)


async def interrupted(event: Any, ctx: Any) -> None:
    await ctx.durable_execute_async(interrupt)


def fails(event: Any, ctx: Any) -> None:
    raise ValueError("boom")


def agent_of(func: Any) -> Agent:
    return Agent().add_action("go", [InputEvent], func)


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_an_interrupt_leaves_run_alone_and_says_how_to_resume(
    loop: str, in_memory: bool, tmp_path: Any, caplog: Any
) -> None:
    store = "memory://" if in_memory else f"sqlite:///{tmp_path}/a.db"
    engine = LocalEngine(store, job="orders", config={"event-loop": loop})
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt) as caught:
        engine.run(agent_of(interrupted), [1], key=str)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("Traceback") == 1
    assert text.count("  File ") == 2  # the program's, and engine.run
    (line,) = [each.getMessage() for each in caplog.records]
    assert line.startswith("job 'orders': interrupted; nothing is lost: run ")
    assert (f"perdure runs --store {store} --job orders" in line) is not in_memory
    assert ("with this engine" in line) is in_memory


def test_what_failed_leaves_run_without_a_chain() -> None:
    with pytest.raises(RunsFailedError) as caught:
        LocalEngine("memory://").run(agent_of(fails), [1], key=str)
    assert caught.value.__context__ is None
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("Traceback") == 1
    assert "local.py" in text.splitlines()[-2] or "raise RunsFailedError" in text


def test_run_inside_a_loop_is_refused_without_a_chain() -> None:
    async def inside() -> None:
        LocalEngine("memory://").run(agent_of(fails), [1], key=str)

    with pytest.raises(RuntimeError, match=r"use `await engine.run_async") as caught:
        asyncio.run(inside())
    assert caught.value.__context__ is None
