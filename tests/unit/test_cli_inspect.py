"""`runs`, `show`, `trace`, `retry` and `cancel` over a store that a small agent has filled."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, RunsFailedError, action
from perdure.cli.main import main
from perdure.cli.options import DEFAULT_STORE as CLI_DEFAULT_STORE
from perdure.operate.history import History
from perdure.store.url import DEFAULT_STORE


class Scored(Event):
    score: int


async def slow(text: str, seconds: float = 0.05) -> dict[str, str]:
    await asyncio.sleep(seconds)
    return {"text": text}


def score(text: str) -> int:
    if text == "bad":
        raise ValueError("cannot take bad")
    return len(text)


class Reviews(Agent):
    @action(InputEvent)
    async def analyse(self, event: InputEvent, ctx: Any) -> None:
        text = event.input["text"]
        calls = [ctx.durable_execute_async(slow, text), ctx.durable_execute_async(slow, text, 0.04)]
        ctx.short_term_memory.update("seen", lambda n: (n or 0) + 1)
        await asyncio.gather(*calls)
        value = await ctx.durable_execute_async(score, text)
        await asyncio.sleep(0.01)
        ctx.send_event(Scored(score=value))

    @action(Scored)
    async def finish(self, event: Scored, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output={"score": event.score}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'runs.db'}"
    inputs = [
        {"id": "B01", "text": "good"},
        {"id": 7, "text": "fine"},
        {"id": "B02", "text": "bad"},
        {"id": "B01", "text": "better"},
    ]
    engine = LocalEngine(url, job="reviews")
    with pytest.raises(RunsFailedError):
        engine.run(Reviews, inputs, key="id")
    return url


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line: returns exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def row_of(out: str, start: str) -> str:
    return next(line for line in out.splitlines() if line.strip().startswith(start))


def test_the_default_store_is_the_engines() -> None:
    assert CLI_DEFAULT_STORE == DEFAULT_STORE


# runs


def test_runs_lists_the_newest_first_with_counts(cli: Any, store: str) -> None:
    code, out, _ = cli("runs", "--store", store)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == "id key seq status attempts started duration error".split()
    assert [line.split()[:4] for line in lines[1:5]] == [
        ["r4", "B01", "2", "completed"],
        ["r3", "B02", "1", "failed"],
        ["r2", "7", "1", "completed"],
        ["r1", "B01", "1", "completed"],
    ]
    assert lines[2].endswith("ValueError: cannot take bad")
    assert lines[5] == "job reviews: 3 completed, 1 failed"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--status", "failed"], ["r3"]),
        (["--status", "queued"], []),
        (["--key", "B01"], ["r4", "r1"]),
        (["--key", "7"], ["r2"]),  # a number, as the input had it
        (["--key", "nobody"], []),
        (["--key", "[" * 5000], []),
        (["--limit", "2"], ["r4", "r3"]),
    ],
)
def test_runs_can_be_narrowed(cli: Any, store: str, options: list[str], ids: list[str]) -> None:
    code, out, _ = cli("runs", "--json", "--store", store, *options)
    assert code == 0
    assert [run["id"] for run in json.loads(out)["runs"]] == ids


def test_runs_as_json_has_everything(cli: Any, store: str) -> None:
    _, out, _ = cli("runs", "--json", "--store", store, "--status", "failed")
    listing = json.loads(out)
    assert listing["counts"] == {
        "completed": 3,
        "failed": 1,
        "cancelled": 0,
        "unfinished": 0,
        "waiting": 0,
    }
    assert listing["runs"][0]["status"] == "failed"
    assert listing["runs"][0]["input"] == {"id": "B02", "text": "bad"}
    assert listing["runs"][0]["error"]["message"] == "cannot take bad"


# show


def test_show_tells_what_a_run_did(cli: Any, store: str) -> None:
    code, out, _ = cli("show", "r1", "--store", store)
    assert code == 0
    assert row_of(out, "run r1").split()[-1] == "completed"
    assert "B01, run 1 of this key" in row_of(out, "key")
    assert row_of(out, "input").split(maxsplit=1)[1] == '{"id": "B01", "text": "good"}'
    assert "analyse, on event 0" in row_of(out, "1  Scored")
    assert '{"score": 4}' in row_of(out, "1  Scored")
    assert "completed" in row_of(out, "action analyse on event 0")
    calls = out.partition("action analyse")[2]
    assert "slow" in row_of(calls, "1  ")
    assert "'good', 0.04" in row_of(calls, "2  ")
    assert '{"text": "good"}' in out
    assert row_of(out, "short-term").split() == ["short-term", "seen", "1", "analyse"]
    assert "outputs" in out
    assert "Traceback" not in out


def test_show_tells_why_a_run_failed(cli: Any, store: str) -> None:
    _, out, _ = cli("show", "r3", "--store", store)
    assert "failed" in row_of(out, "action analyse")
    assert "ValueError: cannot take bad" in row_of(out, "3  ")
    assert "error ValueError: cannot take bad" in out
    assert "Traceback" in out
    assert 'raise ValueError("cannot take bad")' in out


def test_show_as_json_is_complete(cli: Any, store: str) -> None:
    _, out, _ = cli("show", "r1", "--json", "--store", store)
    detail = json.loads(out)
    assert detail["run"]["id"] == "r1"
    assert [event["type"] for event in detail["events"]] == ["_input_event", "Scored"]
    assert [action["name"] for action in detail["actions"]] == ["analyse", "finish"]
    calls = detail["actions"][0]["calls"]
    assert [call["number"] for call in calls] == [1, 2, 3]
    assert all(call["started_at"] < call["settled_at"] for call in calls)
    assert len(detail["actions"][0]["timers"]) == 1
    assert detail["outputs"][0]["value"] == {"score": 4}
    assert detail["memory"][0]["path"] == "seen"


# trace


def bars(out: str) -> dict[str, tuple[int, int]]:
    """Where the bars of the calls of `slow` and `score` begin and end."""
    found = {}
    for line in out.splitlines():
        if "█" in line:
            name = "slow(2)" if "0.04" in line else line.split()[1].partition("(")[0]
            found[name] = (line.index("█"), line.rindex("█"))
    return found


def test_trace_shows_overlapping_calls_overlapping(cli: Any, store: str) -> None:
    code, out, _ = cli("trace", "r1", "--store", store)
    assert code == 0
    found = bars(out)
    first, second, after = found["slow"], found["slow(2)"], found["score"]
    # Where a machine was slow in between, what took less than a column looks alike.
    assert max(first[0], second[0]) <= min(first[1], second[1])
    assert second[1] <= first[1] <= after[0]
    assert "◆" in row_of(out, "timer")
    assert max(len(line) for line in out.splitlines()) <= 101


def test_trace_fits_a_narrow_terminal(
    cli: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = cli("trace", "r1", "--store", store)
    assert max(len(line) for line in out.splitlines()[1:]) <= 60


def test_trace_marks_a_call_that_raised(cli: Any, store: str) -> None:
    _, out, _ = cli("trace", "r3", "--store", store)
    assert "▓" in row_of(out, "3 ")
    assert "analyse, event 0 (failed)" in out


# retry, cancel


@pytest.fixture
def own_store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    with pytest.raises(RunsFailedError):
        LocalEngine(url, job="reviews").run(Reviews, [{"id": "a", "text": "bad"}] * 2, key="id")
    return url


def commands(url: str) -> list[tuple[int, str]]:
    with History.open(url) as history:
        found = history.wait(history.awaited.view.commands(1))
        return [(command.run, command.command) for command in found.items]


def test_retry_leaves_a_command_and_says_who_takes_it(cli: Any, own_store: str) -> None:
    code, out, _ = cli("retry", "r1", "--store", own_store)
    assert code == 0
    assert "run r1 (key 'a') will be retried" in out
    assert "the next `perdure run` of it takes it" in out
    assert [command for _, command in commands(own_store)] == ["retry"]


def test_retry_of_all_failed_runs_keeps_their_order(cli: Any, own_store: str) -> None:
    code, out, _ = cli("retry", "--all-failed", "--store", own_store)
    assert code == 0
    assert "2 failed runs will be retried" in out
    left = commands(own_store)
    assert [command for _, command in left] == ["retry", "retry"]
    assert left[0][0] < left[1][0]


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "r1", "--all-failed"]])
def test_retry_wants_a_run_or_all(cli: Any, own_store: str, arguments: list[str]) -> None:
    code, _, err = cli(*arguments, "--store", own_store)
    assert code == 2
    assert "give either a run's id or --all-failed" in err


def test_what_cannot_be_done_is_refused(cli: Any, store: str) -> None:
    code, _, err = cli("retry", "r1", "--store", store)
    assert (code, err.count("\n")) == (1, 1)
    assert "run r1 is completed" in err
    code, _, err = cli("cancel", "r3", "--store", store)
    assert (code, err.count("\n")) == (1, 1)
    assert "run r3 is failed already" in err


# jobs


def test_the_job_must_be_named_where_there_are_several(cli: Any, own_store: str) -> None:
    LocalEngine(own_store, job="other").run(Reviews, [], key="id")
    code, _, err = cli("runs", "--store", own_store)
    assert code == 1
    assert "choose one with --job, of 'other', 'reviews'" in err
    code, out, _ = cli("runs", "--store", own_store, "--job", "other")
    assert code == 0
    assert "no runs yet" in out


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["show", "r99"], 1, "has no run 'r99'"),
        (["trace", "zz"], 1, "has no run 'zz': give the id of its input"),
        (["runs", "--job", "nope"], 1, "has no job 'nope'; it has 'reviews'"),
        (["runs", "--job", "\udcff"], 1, r"has no job '\udcff'; it has 'reviews'"),
        (["runs", "--status", "done"], 2, "choose of queued, running"),
    ],
)
def test_what_is_not_there_is_named(
    cli: Any, store: str, arguments: list[str], code: int, expected: str
) -> None:
    found, out, err = cli(*arguments, "--store", store)
    assert (found, out) == (code, "")
    assert expected in err
    assert err.count("\n") == 1
