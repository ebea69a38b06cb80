"""A job whose files are removed while it runs stops, and makes no call for nothing (G22, G25)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.support import agent_of, out

from perdure import JsonlSink, LocalEngine
from perdure.cli.main import main
from perdure.errors import SinkError, StoreError, StoreLockedError
from perdure.store.ownership import lock_path
from perdure.store.sqlite import in_place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="an open file stays there")

AGENT = """
import os, time
from perdure import Agent, InputEvent, OutputEvent, action
from pathlib import Path

here = Path(os.environ["HERE"])

def pay(value):
    with (here / "calls").open("a") as file:
        file.write(f"{value}\\n")
    while not (here / "go").exists():
        time.sleep(0.01)
    time.sleep(0.1)  # whether the files are there is looked at each 50 ms

class Shop(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        for number in range(2):
            await ctx.durable_execute_async(pay, f"{event.input['k']}{number}")

agent = Shop()
"""


def _calls(folder: Path) -> list[str]:
    calls = folder / "calls"
    return sorted(calls.read_text().split()) if calls.exists() else []


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A process in the first call of two runs, and the command that it was started with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path))
    (tmp_path / "shop.py").write_text(AGENT)
    (tmp_path / "in.jsonl").write_text('{"k": "a"}\n{"k": "b"}\n')
    arguments = ["run", "shop.py:agent", "--input", "in.jsonl", "--key", "k", "--job", "job"]
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure", *arguments, "--store", "shop.db", "--output", "o.jsonl"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + PATIENCE
    while len(_calls(tmp_path)) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    yield process, [*arguments, "--store", "shop.db", "--output", "o2.jsonl"]
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="tells of a process by /proc")
def test_g22_no_run_is_executed_twice_though_the_lock_file_is_removed(
    started: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process, command = started
    process.send_signal(signal.SIGSTOP)  # it commits nothing, which is when it would notice
    lock_path(tmp_path / "shop.db", "job").unlink()
    assert main(command) == 1
    process.send_signal(signal.SIGCONT)
    assert f"which is alive (pid {process.pid}) though its lock file" in capsys.readouterr().err
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "shop.db-job.lock was removed or replaced under the running job" in errors
    assert _calls(tmp_path) == ["a0", "b0"], "nothing is begun by either"


def test_g25_no_call_starts_when_the_store_is_gone(started: Any, tmp_path: Path) -> None:
    process, _ = started
    (tmp_path / "shop.db").unlink()
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"the store {tmp_path / 'shop.db'} was removed, moved or replaced" in errors
    assert "2 unfinished" in errors
    assert "run the same again" in errors
    assert "it goes on when the store answers" not in errors
    assert _calls(tmp_path) == ["a0", "b0"]


def _removing(path: Path, calls: list[str]) -> Any:
    async def remove() -> None:
        path.unlink()

    async def more() -> None:
        calls.append("more")

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, event.input)
        await ctx.durable_execute_async(remove)
        await ctx.durable_execute_async(more)

    return agent_of(go)


@pytest.mark.parametrize(
    "file_of", [lambda store: store, lambda store: lock_path(store, "job")], ids=["store", "lock"]
)
def test_g25_a_job_whose_store_is_gone_raises_and_is_closed(
    tmp_path: Path, file_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_place, "EVERY_SECONDS", 0.0)
    store, calls = tmp_path / "store.db", list[str]()
    engine = LocalEngine(f"sqlite:///{store}", job="job")
    with pytest.raises(StoreError, match="under the running job") as stopped:
        engine.run(_removing(file_of(store), calls), [1], key=str)
    assert not isinstance(stopped.value, StoreLockedError)
    assert calls == []
    if not store.exists():  # what was committed is still beside it
        with pytest.raises(StoreError, match=r"store\.db-wal beside it says that it had"):
            engine.run(agent_of(_echo), [1], key=str)
        store.with_name("store.db-wal").unlink()
    assert engine.run(agent_of(_echo), [1], key=str)[-1].value == 1, "the engine can be used again"


async def _echo(event: Any, ctx: Any) -> None:
    out(ctx, event.input)


def test_g4_an_output_file_that_is_gone_stops_the_job(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    engine = LocalEngine(f"sqlite:///{tmp_path / 'store.db'}", job="job")
    sink = JsonlSink(file)
    with pytest.raises(SinkError, match=r"out\.jsonl was removed, moved or replaced"):
        engine.run(_removing(file, []), [1], key=str, sink=sink)
    assert not os.path.exists(file)
    again = JsonlSink(file)
    engine.run(_removing(file, []), [1], key=str, sink=again)
