"""`perdure run` on a full disk: it says so, ends in good order, and goes on when there is room.

A limit of the size of files plays the disk: SQLite meets it where it would meet that.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE

pytest.importorskip("resource")

AGENT = """
import os, random, time
from perdure import Agent, InputEvent, OutputEvent, action

def fetch(n, size):
    with open("calls.log", "a") as file:
        file.write(f"{n}\\n")
    while not os.path.exists("go"):
        time.sleep(0.01)
    return random.Random(n).randbytes(size).hex()[:size]  # nothing makes it small

class Fetcher(Agent):
    @action(InputEvent)
    async def fetch(self, event, ctx):
        text = await ctx.durable_execute_async(fetch, event.input["id"], event.input["size"])
        ctx.send_event(OutputEvent(output=[event.input["id"], len(text)]))
"""
PERDURE = """
import resource, sys
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from perdure.cli import drive
from perdure.cli.main import main
drive.GRACE_SECONDS = 0.3
sys.exit(main())
"""
LARGE = 200_000
LIMIT = 60_000  # more than what SQLite keeps in shared memory
RUN = ("run", "fetcher.py", "--input", "in.jsonl", "--key", "id", "--output", "out.jsonl", "-q")
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[subprocess.Popen[str]] = []
        (path / "fetcher.py").write_text(AGENT, "utf-8")

    def start(self, *, limit: int = 0) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PERDURE, str(limit), *RUN],
            cwd=self.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )  # fmt: skip
        self.started.append(process)
        return process

    def inputs(self, *sizes: int, more: str = "") -> None:
        rows = [{"id": n, "size": size, "more": more} for n, size in enumerate(sizes)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.path / "in.jsonl").write_text(text, "utf-8")

    def finish(self) -> list[object]:
        """Run to the end, with room; return the outputs."""
        (self.path / "go").touch()
        _, err = (process := self.start()).communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        lines = (self.path / "out.jsonl").read_text("utf-8").splitlines()
        return sorted(json.loads(line) for line in lines)

    def wait_for_calls(self, process: subprocess.Popen[str], count: int = 2) -> None:
        """Return when all are under way: one that ends first may keep another from beginning."""
        while len(self.calls()) < count:
            assert process.poll() is None
            time.sleep(0.01)

    def calls(self) -> list[str]:
        log = self.path / "calls.log"
        return log.read_text("utf-8").split() if log.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def stalled(process: subprocess.Popen[str]) -> None:
    """Return when the process has said that its store does not write."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "the store does not write" in line:
            return
    raise AssertionError(said)


def ends(process: subprocess.Popen[str], number: signal.Signals, code: int) -> str:
    """Send a signal; the process ends as ever: counts, and how to go on."""
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "interrupted; nothing is lost. To go on, run the same again:\n" in err
    return err


def test_a_full_disk_before_the_first_run(folder: Folder) -> None:
    folder.inputs()
    folder.finish()  # makes the store
    folder.inputs(1, 1, 1, more=random.Random(0).randbytes(LARGE).hex())
    process = folder.start(limit=LIMIT)
    stalled(process)
    assert "0 inputs" in ends(process, signal.SIGINT, 130)
    assert folder.finish() == [[0, 1], [1, 1], [2, 1]]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_full_disk_while_calls_end(folder: Folder, number: signal.Signals, code: int) -> None:
    folder.inputs()
    folder.finish()
    folder.inputs(LARGE, LARGE)
    (folder.path / "go").unlink()
    process = folder.start(limit=LIMIT)
    folder.wait_for_calls(process)
    (folder.path / "go").touch()
    stalled(process)
    assert "2 inputs (0 completed, 2 unfinished); 2 calls made" in ends(process, number, code)
    assert folder.finish() == [[0, LARGE], [1, LARGE]]
    assert sorted(folder.calls()) == ["0", "0", "1", "1"]


def test_a_full_disk_in_recovery(folder: Folder) -> None:
    folder.inputs(LARGE, LARGE)
    process = folder.start()
    folder.wait_for_calls(process)
    process.kill()
    process.communicate()
    process = folder.start(limit=LIMIT)
    folder.wait_for_calls(process, 4)
    (folder.path / "go").touch()
    stalled(process)
    ends(process, signal.SIGTERM, 143)
    assert folder.finish() == [[0, LARGE], [1, LARGE]]
    assert len(folder.calls()) == 6


def test_a_disk_that_is_full_when_the_store_is_made(folder: Folder) -> None:
    folder.inputs(1)
    process = folder.start(limit=3000)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (line,) = err.splitlines()
    assert "perdure.db cannot be read or written" in line
    assert "no file larger than 3,000 bytes (ulimit -f)" in line
    assert not list(folder.path.glob("*.lock")), "a refused store leaves no lock"
    assert folder.finish() == [[0, 1]]
