"""`perdure run` in real processes: to the end, again, interrupted, with failures."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.zygote import Forked

COMMAND = str(Path(sys.executable).with_name("perdure"))
LIMIT_SECONDS = PATIENCE

# `perdure`, but the runs in flight have so many seconds after the first signal, and so has its end.
WITH_GRACE = """
import sys
from perdure.cli import drive, main, stop_signals
drive.GRACE_SECONDS = stop_signals.LONGEST_END = float(sys.argv.pop(1))
sys.exit(main.main())
"""

AGENT = """
import asyncio, os
from perdure import Agent, InputEvent, OutputEvent, action

async def slow(n):
    log("slow", n)
    await asyncio.sleep(float(os.environ.get("PERDURE_TEST_SECONDS", "0.01")))
    return n

def check(n):
    log("check", n)
    if n in (3, 5) and not os.path.exists("repaired"):
        raise ValueError(f"cannot take {n}")
    return n * 10

def log(name, n):
    with open("calls.log", "a") as file:
        file.write(f"{name} {n}\\n")

class Numbers(Agent):
    @action(InputEvent)
    async def work(self, event, ctx):
        n = await ctx.durable_execute_async(slow, event.input["n"])
        value = await ctx.durable_execute_async(slow, n)
        if event.input.get("checked"):
            value = await ctx.durable_execute_async(check, n)
        ctx.send_event(OutputEvent(output={"n": n, "value": value}))

agent = Numbers()

if __name__ == "__main__":
    from perdure import JsonlSink, JsonlSource, LocalEngine
    engine = LocalEngine("sqlite:///perdure.db", job="numbers_agent.agent")
    engine.run(agent, JsonlSource("in.jsonl"), key="id", sink=JsonlSink("out.jsonl"))
"""


class Folder:
    """A folder with an agent and inputs, and commands run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[Forked] = []
        (path / "numbers_agent.py").write_text(AGENT, "utf-8")

    def inputs(self, count: int, *, keys: int = 0, checked: bool = False) -> None:
        rows = [{"id": f"k{n % (keys or count)}", "n": n, "checked": checked} for n in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.path / "in.jsonl").write_text(text, "utf-8")

    def start(self, *arguments: str, seconds: float = 0.01, grace: float | None = None) -> Forked:
        command = [COMMAND] if grace is None else [sys.executable, "-c", WITH_GRACE, str(grace)]
        process = Forked(
            [*command, *arguments],
            cwd=self.path,
            env={**os.environ, "PERDURE_TEST_SECONDS": str(seconds)},
        )
        self.started.append(process)
        return process

    def do(self, *arguments: str, seconds: float = 0.01) -> tuple[int, str, str]:
        process = self.start(*arguments, seconds=seconds)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
        return process.returncode, out, err

    def run(self, *options: str, seconds: float = 0.01) -> tuple[int, str, str]:
        return self.do(*RUN, *options, seconds=seconds)

    def outputs(self) -> list[Any]:
        path = self.path / "out.jsonl"
        text = path.read_text("utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def calls(self) -> Counter[str]:
        path = self.path / "calls.log"
        return Counter(path.read_text("utf-8").splitlines() if path.exists() else ())

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "summary.json").read_text("utf-8"))
        return found

    def wait_until(self, condition: Any) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.01)


RUN = (
    *("run", "numbers_agent.py:agent", "--input", "in.jsonl", "--key", "id"),
    *("--output", "out.jsonl", "--summary-json", "summary.json"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_runs_to_the_end_and_does_nothing_again(folder: Folder) -> None:
    folder.inputs(30, keys=7)
    code, out, err = folder.run()
    assert (code, out) == (0, "")
    assert "numbers_agent.agent: 30 inputs (30 completed); 60 calls made, 0 replayed" in err
    assert sorted(output["n"] for output in folder.outputs()) == list(range(30))
    summary = folder.summary()
    assert summary.pop("seconds") > 0
    assert summary == {
        "inputs": 30, "outputs": 30, "completed": 30, "failed": 0, "cancelled": 0,
        "waiting": 0, "unfinished": 0, "bad_lines": 0, "calls_made": 60, "calls_replayed": 0,
        "retries": 0, "late_results": 0,
    }  # fmt: skip

    code, _, err = folder.run()
    assert code == 0
    assert "30 finished before" in err
    assert len(folder.outputs()) == 30
    assert folder.summary()["calls_made"] == folder.summary()["outputs"] == 0


def test_outputs_go_to_stdout_and_nothing_else_does(folder: Folder) -> None:
    folder.inputs(5)
    code, out, _ = folder.do(
        "run", "numbers_agent:agent", "--input", "in.jsonl", "--key", "id", "--envelope", "--quiet"
    )
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert sorted(line["value"]["n"] for line in lines) == list(range(5))
    assert {line["key"] for line in lines} == {f"k{n}" for n in range(5)}
    assert all(set(line) == {"key", "run_id", "id", "value"} for line in lines)


def test_inputs_come_from_stdin(folder: Folder) -> None:
    folder.inputs(5)
    with open(folder.path / "in.jsonl", "rb") as stdin:
        done = subprocess.run(
            [COMMAND, "run", "numbers_agent.py", "--input", "-", "--key", "id"],
            cwd=folder.path, stdin=stdin, capture_output=True, text=True, timeout=LIMIT_SECONDS,
        )  # fmt: skip
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 5


def test_failed_runs_are_listed_retried_and_end_well(folder: Folder) -> None:
    folder.inputs(8, checked=True)
    code, _, err = folder.run()
    assert code == 1
    assert "8 inputs (6 completed, 2 failed)" in err
    assert "r4  key k3: ValueError: cannot take 3" in err
    assert "perdure retry r4" in err
    assert folder.summary()["failed"] == 2
    assert len(folder.outputs()) == 6
    # Failed runs stay failed until somebody puts them back.
    assert folder.run()[0] == 1

    (folder.path / "repaired").touch()
    code, out, _ = folder.do("retry", "--all-failed")
    assert code == 0
    assert "2 failed runs will be retried" in out
    before = folder.calls()
    assert folder.run()[0] == 0
    assert sorted(output["n"] for output in folder.outputs()) == list(range(8))
    made = folder.calls() - before
    assert made == {"check 3": 1, "check 5": 1}, "what had succeeded was done again"
    _, out, _ = folder.do("runs", "--json")
    assert json.loads(out)["counts"]["completed"] == 8


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_runs_in_flight_end_and_the_same_command_goes_on(
    folder: Folder, number: signal.Signals, code: int
) -> None:
    folder.inputs(60)
    options = ("--set", "max-runs-in-flight=10")
    process = folder.start(*RUN, *options, seconds=0.1)
    folder.wait_until(lambda: len(folder.outputs()) >= 10)
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == code
    done = len(folder.outputs())
    assert 10 <= done < 60
    assert folder.summary()["completed"] == done
    again = shlex.join(["perdure", *RUN, *options])
    assert err.rstrip().endswith(again)

    assert folder.run(*options)[0] == 0
    assert sorted(output["n"] for output in folder.outputs()) == list(range(60))
    # Every run that had begun was let to its end, so no call was made twice.
    assert set(folder.calls().values()) == {2}


def test_a_second_signal_stops_at_once(folder: Folder) -> None:
    folder.inputs(20)
    process = folder.start(*RUN, seconds=2 * PATIENCE, grace=2 * PATIENCE)
    folder.wait_until(lambda: len(folder.calls()) == 20)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    next(line for line in process.stderr if "once more stops at once" in line)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
    assert "20 inputs (0 completed, 20 unfinished)" in err
    assert folder.summary()["completed"] == 0
    assert folder.summary()["unfinished"] == 20
    assert folder.run()[0] == 0
    assert len(folder.outputs()) == 20


def test_who_reads_no_messages_changes_nothing(folder: Folder) -> None:
    folder.inputs(3)
    process = folder.start(*RUN)
    process.stderr.close()
    process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0
    assert len(folder.outputs()) == 3
    process = folder.start("run", "nowhere.py:agent", "--input", "in.jsonl", "--key", "id")
    process.stderr.close()
    process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2


def test_a_live_process_takes_commands(folder: Folder) -> None:
    folder.inputs(1)
    process = folder.start(*RUN, seconds=50)
    folder.wait_until(lambda: len(folder.calls()) == 1)
    code, out, _ = folder.do("cancel", "r1")
    assert code == 0
    assert "the process that runs job 'numbers_agent.agent' takes it" in out
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    assert "1 cancelled" in err
    assert folder.summary()["cancelled"] == 1


def test_a_second_process_is_refused(folder: Folder) -> None:
    folder.inputs(1)
    folder.start(*RUN, seconds=50)
    folder.wait_until(lambda: len(folder.calls()) == 1)
    code, _, err = folder.run()
    assert code == 1
    assert err.startswith(
        "perdure: job 'numbers_agent.agent' in perdure.db is being run by another"
    )
    assert err.count("\n") == 1


def test_the_command_goes_on_with_what_a_script_began(folder: Folder) -> None:
    folder.inputs(20)
    script = subprocess.Popen(
        [sys.executable, "numbers_agent.py"],
        cwd=folder.path,
        env={**os.environ, "PERDURE_TEST_SECONDS": "0.3"},
    )
    try:
        folder.wait_until(lambda: sum(folder.calls().values()) >= 25)
        script.kill()
    finally:
        script.kill()
        script.wait()
    code, _, err = folder.run()
    assert code == 0, err
    assert sorted(output["n"] for output in folder.outputs()) == list(range(20))
    assert folder.summary()["calls_replayed"] > 0


def test_a_bad_line_is_named_and_what_came_before_it_is_kept(folder: Folder) -> None:
    folder.inputs(3)
    with open(folder.path / "in.jsonl", "a", encoding="utf-8") as file:
        file.write("{broken\n")
    code, _, err = folder.run()
    assert code == 1
    assert "perdure: in.jsonl:4: not JSON" in err
    assert len(folder.outputs()) == 3


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--set", "num-async-thread=3"], 2, "did you mean num-async-threads?"),
        (["--config", "none.yaml"], 2, "none.yaml"),
        (["--store", "sqlite:///nowhere/x.db"], 1, "nowhere"),
        (["--output", "nowhere/out.jsonl"], 1, "nowhere"),
        (["--key", "idd"], 1, "has no field 'idd'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    folder: Folder, options: list[str], code: int, expected: str
) -> None:
    folder.inputs(1)
    found, _, err = folder.run(*options)
    assert found == code
    last = err.splitlines()[-1]
    assert last.startswith("perdure: ")
    assert expected in last
    assert "Traceback" not in err
