"""`perdure trace --job`: how the runs of a job spent their time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.golden.data import BEGAN, DETAILS, JOB_DETAILS, MS, NOW, RUNS, S, detail, run

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunStatus, action
from perdure.cli.main import main
from perdure.operate.job_trace import RunSpans, spans_of


def seconds(spans: tuple[tuple[int, int], ...]) -> list[tuple[float, float]]:
    return [((begin - BEGAN) / S, (end - BEGAN) / S) for begin, end in spans]


def spans(number: int) -> RunSpans:
    (found,) = [each for each in JOB_DETAILS if each.run.number & 0xFFFF == number]
    return spans_of(found, NOW)


def test_a_run_works_while_calls_are_under_way_and_waits_between_them() -> None:
    first, second = spans(990), spans(992)
    assert (seconds(first.working), first.waiting, first.queued) == ([(0, 90)], (), ())
    assert seconds(second.queued) == [(0, 90)]
    assert seconds(second.working) == [(90, 100), (400, 500)]
    assert seconds(second.waiting) == [(100, 400)]


def test_what_is_unfinished_goes_on_until_now() -> None:
    now = (NOW - BEGAN) / S
    assert seconds(spans(994).waiting) == [(60, now)]
    assert seconds(spans(995).working) == [(100, now)]
    assert spans(997).working == spans(997).waiting == ()
    assert seconds(spans(997).queued) == [(200, now)]
    assert spans_of(detail(RUNS[2], (), "", actions=()), NOW).waiting == ((BEGAN, NOW),)


def test_an_open_call_of_a_failed_run_does_not_go_on() -> None:
    ended = run(1, "k", RunStatus.FAILED, finished_at=BEGAN + 10 * S)
    open_calls = DETAILS["r3ea"].actions
    found = spans_of(detail(ended, (), "", actions=open_calls), NOW)
    assert found.end == BEGAN + 10 * S
    assert found.working[-1][1] < BEGAN + 2 * S
    begun = run(2, "k", RunStatus.RUNNING, admitted_at=BEGAN + 5 * MS)
    assert spans_of(detail(begun, (), "", actions=()), NOW).working == ((begun.admitted_at, NOW),)


class Naps(Agent):
    @action(InputEvent)
    async def nap(self, event: InputEvent, ctx: Any) -> None:
        await ctx.durable_execute_async(asyncio.sleep, 0)
        ctx.send_event(OutputEvent(output=event.input))


def test_trace_draws_a_job_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path / 'jobs.db'}"
    for job in ("a", "b"):
        inputs = [{"key": f"key {n}", "id": f"order {n}"} for n in range(3)]
        LocalEngine(store, job=job).run(Naps, inputs, key="key", id="id")

    def out(*arguments: str) -> str:
        assert main(["trace", *arguments, "--store", store]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    shown = out("--job", "b")
    assert shown.startswith("job b: 3 runs of 3 keys")
    assert [f"order {n} completed" in shown for n in range(4)] == [True] * 3 + [False]
    assert "(the newest 2 runs; --limit shows more)" in " ".join(
        out("--job", "b", "--limit", "2").split()
    )
    assert out("order 1", "--job", "b").startswith("run order 1 of job b")
    # --job without a name: the one that there is, or the one of the environment.
    assert main(["trace", "--store", store, "--job"]) == 1
    assert "choose one with --job, of 'a', 'b'" in capsys.readouterr().err
    monkeypatch.setenv("PERDURE_JOB", "a")
    assert out("--job").startswith("job a: 3 runs")
    assert out().startswith("job a: 3 runs")
