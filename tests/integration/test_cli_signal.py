"""`perdure run` and `perdure signal` in processes of their own: somebody is waited for."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_cli_run import LIMIT_SECONDS, Folder

AGENT = """
from perdure import Agent, InputEvent, OutputEvent, action

def prepare(n):
    with open("calls.log", "a") as file:
        file.write(f"prepare {n}\\n")
    return n

class Approvals(Agent):
    @action(InputEvent)
    async def ask(self, event, ctx):
        n = await ctx.durable_execute_async(prepare, event.input["n"])
        if n == 0:
            ctx.set_status("waits for ann")
            answer = await ctx.wait_for_signal("approve")
        else:
            answer = None
        if n == 2:
            await ctx.submit({"n": 3}, key="reminder", delay=1000)
        ctx.send_event(OutputEvent(output={"n": n, "answer": answer}))

agent = Approvals()
"""

RUN = (
    *("run", "approvals.py:agent", "--input", "in.jsonl", "--key", "id"),
    *("--output", "out.jsonl", "--summary-json", "summary.json"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    (tmp_path / "approvals.py").write_text(AGENT, "utf-8")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def waiting(folder: Folder) -> list[dict[str, Any]]:
    code, out, _ = folder.do("runs", "--status", "waiting", "--json")
    return json.loads(out)["runs"] if code == 0 else []  # the store comes with the first run


def test_a_run_that_waits_gets_its_signal_from_another_process(folder: Folder) -> None:
    folder.inputs(2)
    process = folder.start(*RUN)
    folder.wait_until(lambda: waiting(folder))
    (run,) = waiting(folder)
    assert (run["id"], run["activity"]) == ("r1", "waits for ann")
    assert process.stderr is not None
    hint = next(line for line in process.stderr if "nothing else is under way" in line)
    assert "1 run waits" in hint
    assert "for signal approve, says 'waits for ann'" in hint
    assert "answer: perdure signal r1 approve VALUE" in hint
    assert "perdure inbox" in hint

    code, out, _ = folder.do("signal", "r1", "approve", '{"by": "ann"}')
    assert code == 0
    assert "the process that runs job 'approvals.agent' takes it within a second" in out
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0
    assert "2 inputs (2 completed)" in err
    assert {"n": 0, "answer": {"by": "ann"}} in folder.outputs()
    assert folder.summary()["waiting"] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_is_sent_while_nothing_runs_is_there_when_it_is_resumed(
    folder: Folder, number: signal.Signals, code: int
) -> None:
    folder.inputs(2)
    # What only waits has no need of the grace that runs in flight have.
    process = folder.start(*RUN, grace=2 * LIMIT_SECONDS)
    folder.wait_until(lambda: waiting(folder) and len(folder.outputs()) == 1)
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == code
    assert "2 inputs (1 completed, 1 waiting)" in err
    assert "1 run waits in the store for a signal or for time" in err
    assert "see who waits, and answer: perdure inbox" in err
    assert err.rstrip().endswith("--summary-json summary.json")
    assert (folder.summary()["completed"], folder.summary()["waiting"]) == (1, 1)
    assert [run["id"] for run in waiting(folder)] == ["r1"]

    code, out, _ = folder.do("signal", "r1", "approve", "yes")
    assert code == 0
    assert "the next `perdure run` of it takes it" in out
    code, _, err = folder.do(*RUN)
    assert code == 0, err
    assert folder.outputs()[-1] == {"n": 0, "answer": "yes"}
    assert folder.calls() == {"prepare 0": 1, "prepare 1": 1}
    assert waiting(folder) == []


def test_runs_that_are_due_later_stay_in_the_store_and_that_is_said(folder: Folder) -> None:
    (folder.path / "in.jsonl").write_text('{"id": "a", "n": 2}\n', "utf-8")
    code, _, err = folder.do(*RUN)
    assert code == 0
    assert "1 run waits in the store until due" in err
    assert "perdure runs --status waiting" in err
    assert (folder.summary()["completed"], folder.summary()["waiting"]) == (1, 1)
    assert [run["is_delayed"] for run in waiting(folder)] == [True]
