"""`perdure run` and `perdure serve` end when they are told to, whatever they are doing."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_cli_run import LIMIT_SECONDS, Folder
from tests.zygote import Forked

LONG = 2 * LIMIT_SECONDS  # seconds that no test waits

# `perdure`, with so long a grace and end. The signals come from the agent: none is lost on its way.
BOUNDED = """
import sys
from perdure.cli import drive, main, stop_signals
drive.GRACE_SECONDS, stop_signals.LONGEST_END = map(float, sys.argv[1:3])
del sys.argv[1:3]
sys.exit(main.main())
"""

AGENT = """
import asyncio, os, signal, time
from perdure import Agent, InputEvent, OutputEvent, action

def send_signals():
    for number in map(int, os.environ["PERDURE_TEST_SIGNALS"].split()):
        signal.raise_signal(number)

def first(n):
    with open("calls.log", "a") as file:
        file.write("first\\n")
    return n

def block(n):
    if not os.path.exists("mended"):
        send_signals()
        while not os.path.exists("mended"):
            time.sleep(3600)
    return n

async def goes_on(n):
    if not os.path.exists("mended"):
        asyncio.get_running_loop().call_soon(send_signals)
    while not os.path.exists("mended"):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    return n

def fork(n):
    child = os.fork()
    while not child:
        time.sleep(0.01)
    while True:  # what comes before Python has taken note of the fork is lost
        os.kill(child, signal.SIGTERM)
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)

class Work(Agent):
    @action(InputEvent)
    def work(self, event, ctx):
        n = ctx.durable_execute_async(first, event.input["n"]).result()
        if event.input["do"] == "block":
            n = ctx.durable_execute(block, n)
        elif event.input["do"] == "go on":
            n = ctx.durable_execute_async(goes_on, n).result()
        else:
            n = ctx.durable_execute_async(fork, n).result()
        ctx.send_event(OutputEvent(output=n))

agent = Work()
"""

RUN = ("run", "work.py:agent", "--input", "in.jsonl", "--key", "id", "--output", "out.jsonl")
INT, TERM = signal.SIGINT, signal.SIGTERM

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    (tmp_path / "work.py").write_text(AGENT, "utf-8")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(folder: Folder, *arguments: str, grace: float, end: float) -> Forked:
    command = [sys.executable, "-c", BOUNDED, str(grace), str(end), *arguments]
    process = Forked(command, cwd=folder.path)
    folder.started.append(process)
    return process


def give(folder: Folder, do: str) -> None:
    (folder.path / "in.jsonl").write_text(json.dumps({"id": "a", "n": 7, "do": do}) + "\n", "utf-8")


def sends(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    monkeypatch.setenv("PERDURE_TEST_SIGNALS", " ".join(str(int(each)) for each in numbers))


@pytest.mark.parametrize(
    ("numbers", "grace", "end", "why"),
    [
        ((TERM,), 0.02, 0.02, "block (work.py:"),
        ((INT, INT), LONG, 0.02, "block (work.py:"),
        ((TERM, TERM), LONG, 0.02, "block (work.py:"),
        ((INT, INT, INT), LONG, LONG, "interrupted; nothing is lost"),
        ((TERM, INT, TERM), LONG, LONG, "interrupted; nothing is lost"),
    ],
)
def test_g1_a_step_that_blocks_the_loop_keeps_no_signal_away(
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    numbers: tuple[int, ...],
    grace: float,
    end: float,
    why: str,
) -> None:
    sends(monkeypatch, *numbers)
    give(folder, "block")
    process = start(folder, *RUN, grace=grace, end=end)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 128 + numbers[0]
    assert why in err
    assert err.splitlines()[-2].endswith("nothing is lost. To go on, run the same again:")
    assert err.rstrip().endswith("--output out.jsonl")
    (folder.path / "mended").touch()
    assert folder.do(*RUN)[0] == 0
    assert folder.outputs() == [7]
    assert folder.calls() == {"first": 1}


@pytest.mark.parametrize(
    ("numbers", "grace"), [((TERM,), 0.02), ((INT, INT), LONG)], ids=["one", "two"]
)
def test_g1_a_callable_that_goes_on_when_it_is_cancelled_keeps_no_process(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...], grace: float
) -> None:
    sends(monkeypatch, *numbers)
    give(folder, "go on")
    process = start(folder, *RUN, grace=grace, end=0.05)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 128 + numbers[0]
    assert "goes on when it is cancelled" in err
    (folder.path / "mended").touch()
    assert folder.do(*RUN)[0] == 0
    assert folder.outputs() == [7]
    assert folder.calls() == {"first": 1}


@pytest.mark.parametrize("log", ["text", "json"])
@pytest.mark.parametrize("do", ["block", "go on"])
def test_g1_a_service_ends_at_the_second_signal_whatever_it_does(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, do: str, log: str
) -> None:
    sends(monkeypatch, TERM, TERM)
    serve = ("serve", "work.py:agent", "--port", "0", "--no-token", "--log-format", log)
    process = start(folder, *serve, grace=LONG, end=0.05)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    body = json.dumps({"key": "a", "value": {"id": "a", "n": 7, "do": do}}).encode()
    request = urllib.request.Request(f"{url}runs", body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=LIMIT_SECONDS).close()
    except OSError:
        pass  # it ended first
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 143
    last = err.splitlines()[-1]
    if log == "json":
        last = json.loads(last)["message"]
    assert last.endswith("was ended as it stood; nothing is lost: the same command goes on")
    assert ("block (work.py:" in last) == (do == "block")


def test_a_forked_child_ends_by_the_signal_that_it_is_sent(folder: Folder) -> None:
    give(folder, "fork")
    assert folder.do(*RUN)[0] == 0
    assert folder.outputs() == [-TERM]
