"""`perdure inbox` and `perdure approve`: who waits for a person, and their answers."""

from __future__ import annotations

import asyncio
import builtins
import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunStatus, action
from perdure.cli import inbox
from perdure.cli.main import main


class Desk(Agent):
    """Asks for what its input lists, one after another."""

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: Any) -> None:
        asked = [ctx.wait_for_approval(name, f"May I {name}?") for name in event.input["ask"]]
        if event.input.get("signal"):
            await ctx.wait_for_signal(event.input["signal"])
        said = [await each for each in asked]
        ctx.send_event(
            OutputEvent(output=[[each.approved, each.by, each.comment] for each in said])
        )


class _Crash(Exception):
    pass


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store where r1 waits for two approvals, r2 for one, r3 for a signal, and r4 is done."""
    url = f"sqlite:///{tmp_path / 'in box.db'}"
    engine = LocalEngine(url, job="desk")

    async def fill() -> None:
        async with engine.open(Desk) as job:
            for ask, signal in (("pay", "tell me"), None), (("pay",), None), ((), "go"), ((), None):
                run = await job.submit({"ask": ask, "signal": signal}, key=f"k{len(ask)}{signal}")
                while not (run.waits or run.status.is_final):
                    await asyncio.sleep(0.002)
            raise _Crash

    with pytest.raises(_Crash):
        asyncio.run(fill())
    return url


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], store: str) -> Any:
    """Run the command line on the store: returns exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--store", store])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def leave_waiting(
    engine: LocalEngine, agent: Any, inputs: Iterable[tuple[Any, str, str | None]]
) -> None:
    """Submit inputs with their keys and ids, and crash when each of their runs waits."""

    async def work() -> None:
        async with engine.open(agent) as job:
            for value, key, id_ in inputs:
                run = await job.submit(value, key=key, id=id_)
                while not run.waits:
                    await asyncio.sleep(0.002)
            raise _Crash

    with pytest.raises(_Crash):
        asyncio.run(work())


def goes_on(store: str) -> LocalEngine:
    """Take up the runs again, let those end that have their answers, and return the engine."""
    engine = LocalEngine(store, job="desk")

    async def work() -> None:
        async with engine.open(Desk) as job:
            while len(engine.waits()) + job.progress.completed < 2 or job.progress.in_flight:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            raise _Crash

    with pytest.raises(_Crash):
        asyncio.run(work())
    return engine


def test_the_inbox_has_each_wait_with_its_question_and_the_command_that_answers(
    cli: Any, store: str
) -> None:
    code, out, _ = cli("inbox")
    assert code == 0
    chosen = f" --store {shlex.quote(store)}"
    assert "r1  key k2None  waits" in out
    assert "for approval pay (action ask)\n    May I pay?\n" in out
    assert f"  perdure approve r1 pay{chosen}\n" in out
    assert f"  perdure approve r1 'tell me'{chosen}\n" in out
    assert f"  perdure signal r3 go VALUE{chosen}\n" in out
    assert "r4" not in out
    assert out.splitlines()[-1] == "job desk: 4 waits for an answer from outside"
    _, out, _ = cli("inbox", "--limit", "2")
    assert "4 waits" in out
    assert "the first 2; --limit shows more" in out
    assert out.count("perdure approve") == 2


def test_the_inbox_as_json(cli: Any) -> None:
    _, out, _ = cli("inbox", "--json")
    found = json.loads(out)
    assert (found["job"], found["count"]) == ("desk", 4)
    assert [(each["run"], each["name"], each["kind"]) for each in found["waits"]] == [
        ("r1", "pay", "approval"), ("r1", "tell me", "approval"), ("r2", "pay", "approval"),
        ("r3", "go", "signal"),
    ]  # fmt: skip
    assert found["waits"][0]["question"] == "May I pay?"


def test_approve_answers_and_says_who_was_first(cli: Any, store: str) -> None:
    code, out, _ = cli("approve", "r2", "--by", "ann", "--comment", "fine")
    assert code == 0
    assert "run r2 (key 'k1None'): pay is answered yes" in out
    code, _, err = cli("approve", "r2", "pay", "--no")
    assert code == 1
    assert "answered already: yes by ann (fine)" in err
    code, _, err = cli("approve", "r1")
    assert code == 2
    assert "waits for 2 approvals: give the name of one of 'pay', 'tell me'" in err
    assert cli("approve", "r1", "pay", "--no", "--by", "bob")[0] == 0
    assert cli("approve", "r1", "--by", "bob")[0] == 0  # the one that is left
    code, _, err = cli("approve", "r3")
    assert code == 1
    assert "r3 waits for no approval: it waits for the signal 'go'" in err
    engine = goes_on(store)
    assert engine.run_info("r2").status is RunStatus.COMPLETED
    assert engine.run_info("r1").status is RunStatus.COMPLETED
    code, _, err = cli("approve", "r2")
    assert code == 1
    assert "completed already" in err


def test_a_signal_that_is_neither_yes_nor_no_is_refused_with_exit_code_2(cli: Any) -> None:
    code, _, err = cli("signal", "r2", "pay", "perhaps")
    assert code == 2
    assert "r2 waits for the approval 'pay': the answer 'perhaps' is neither yes nor no" in err
    assert cli("signal", "r2", "pay", "No")[0] == 0
    _, out, _ = cli("show", "r2")
    assert "signal pay: taken once a process runs its job" in out


def test_runs_and_show_name_what_is_waited_for(cli: Any) -> None:
    _, out, _ = cli("runs")
    row = next(line for line in out.splitlines() if line.startswith("r1"))
    assert row.rstrip().endswith("approval pay, approval tell me")
    _, out, _ = cli("show", "r2")
    assert "waits for approval pay (May I pay?): perdure approve r2 pay" in out


IDS = ("order 7", "r3", "-x", 12, None)


@pytest.fixture
def named(tmp_path: Path) -> str:
    """A store where r1 to r5 wait for an approval; IDS were given with their inputs."""
    url = f"sqlite:///{tmp_path / 'named.db'}"
    engine = LocalEngine(url, job="desk")
    leave_waiting(engine, Desk, [({"ask": ["pay"]}, f"k{n}", id_) for n, id_ in enumerate(IDS)])
    return url


def test_a_run_is_named_by_the_id_given_with_its_input_wherever_it_is_shown(
    named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def out(*arguments: str) -> str:
        assert main([*arguments, "--store", named]) == 0
        return capsys.readouterr().out

    titles = ["'order 7'", "r2", "run:r3", "12", "r5"]
    shown = out("inbox")
    for title in titles:  # r3 is another run's input's id as well, and -x an option
        assert f"  perdure approve {title} pay" in shown
    listed = [line.split("  ") for line in out("runs").splitlines()[1:6]]
    assert [each[0] for each in listed] == ["r5", "12", "r3", "r2", "order 7"]
    assert next(each for each in listed[-1][1:] if each) == "r1"
    assert out("show", "order 7").startswith("run order 7 (r1)  waiting\n")
    assert out("show", "r5").startswith("run r5  waiting\n")
    assert out("trace", "12").startswith("run 12 of job desk")
    assert "run order 7 (key 'k0'): pay is answered yes" in out("approve", "order 7")
    assert main(["approve", "r1", "--store", named]) == 1
    assert "run order 7: 'pay' has been answered already" in capsys.readouterr().err
    found = json.loads(out("runs", "--json"))["runs"]
    assert [each["input_id"] for each in found] == [None, "12", "-x", "r3", "order 7"]


def test_the_command_of_a_run_whose_id_is_another_input_s_too_answers_that_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path / 'twice.db'}"
    given = (None, "r1", "run:r1")
    engine = LocalEngine(store, job="desk")
    leave_waiting(engine, Desk, [({"ask": ["pay"]}, f"k{n}", id_) for n, id_ in enumerate(given)])
    assert main(["inbox", "--store", store]) == 0
    shown = capsys.readouterr().out
    commands = [f"  perdure approve {run} pay" in shown for run in ("run:r1", "r2", "r3")]
    assert commands == [True, True, True]
    assert main(["approve", "r1", "--store", store]) == 1
    assert "give run:r2 or run:r1" in capsys.readouterr().err
    assert main(["approve", "run:r1", "pay", "--store", store]) == 0
    assert "(key 'k0')" in capsys.readouterr().out
    assert main(["show", "run:r1", "--json", "--store", store]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["key"] == "k0"


def test_an_id_that_reads_as_a_number_is_the_input_s_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path / 'b.db'}"
    inputs = [{"ask": [], "id": id_} for id_ in ("2", "b", "f")]
    LocalEngine(store, job="desk").run(Desk, inputs, key="id", id="id")
    for id_, own in (("2", "r1"), ("b", "r2"), ("f", "r3"), ("r2", "r2")):
        assert main(["show", id_, "--json", "--store", store]) == 0
        assert json.loads(capsys.readouterr().out)["run"]["id"] == own


def test_in_a_terminal_the_inbox_takes_answers(
    cli: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(inbox.sys, "stdin", Terminal())
    monkeypatch.setattr(inbox.sys.stdout, "isatty", lambda: True, raising=False)
    answers = iter(["perhaps", "y", "", "n"])
    monkeypatch.setattr(builtins, "input", lambda _prompt: next(answers))
    _, out, _ = cli("inbox")
    assert out.count("answered yes") == 1
    assert out.count("answered no") == 1
    engine = goes_on(store)
    assert [each.name for each in engine.waits()] == ["tell me", "go"]


def test_g27_an_answer_in_a_terminal_is_for_the_question_that_was_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile somebody else has answered it, and the run asks another one by the same name."""
    store = f"sqlite:///{tmp_path / 'again.db'}"

    async def go(event: Any, ctx: Any) -> None:
        for amount in (10, 1000):
            await ctx.wait_for_approval("pay", f"Pay {amount}?")

    agent = Agent().add_action("go", InputEvent, go)
    leave_waiting(LocalEngine(store, job="desk"), agent, [(1, "k", None)])
    engine = LocalEngine(store, job="desk")

    async def until_the_next() -> None:
        async with engine.open(agent) as job:
            while [each.question for each in job.run("r1").waits] != ["Pay 1000?"]:
                await asyncio.sleep(0.002)
            raise _Crash

    def answer(_prompt: str) -> str:
        engine.approve("r1", by="ann")
        with pytest.raises(_Crash):
            asyncio.run(until_the_next())
        return "y"

    monkeypatch.setattr(inbox.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(inbox.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", answer)
    assert main(["inbox", "--store", store]) == 0
    assert "'pay' has been answered already: yes by ann" in capsys.readouterr().out
    assert [each.question for each in engine.waits()] == ["Pay 1000?"]


NAME = "ok\nperdure: everything is fine\nrun r1 is answered yes"
QUESTION = "perdure approve r9\nperdure approve r99 'fake'"


@pytest.fixture
def several_lines(tmp_path: Path) -> str:
    """A store where a run waits for what has several lines."""
    url = f"sqlite:///{tmp_path / 'lines.db'}"

    async def go(event: Any, ctx: Any) -> None:
        await ctx.wait_for_approval(NAME, QUESTION)

    agent = Agent().add_action("go", InputEvent, go)
    leave_waiting(LocalEngine(url, job="lines"), agent, [(1, "k\nperdure: all is well", None)])
    return url


def test_g21_no_name_and_no_question_begins_a_line_of_perdure_s_own(
    several_lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines(*arguments: str) -> list[str]:
        assert main([*arguments, "--store", several_lines]) == 0
        return capsys.readouterr().out.splitlines()

    who, first, second, command, count = lines("inbox")
    assert who.startswith(r"r1  key k\nperdure: all is well  waits ")
    assert r"approval ok\nperdure: everything is fine\nrun r1 is answered yes" in who
    assert (first, second) == tuple(f"    {line}" for line in QUESTION.splitlines())
    assert command.startswith(r"  perdure approve r1 $'ok\nperdure: everything")
    assert count == "job lines: 1 wait for an answer from outside"
    assert len(lines("signal", "r1", "other\nname", "1")) == 1
    (said,) = lines("approve", "r1")
    assert r"ok\nperdure: everything is fine\nrun r1 is answered yes is answered yes" in said
