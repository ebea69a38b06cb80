"""Jobs opened without a block, and runs found by the id of their input or their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.promises.legs import SECONDS, until
from tests.promises.support import agent_of, out, values

from perdure import (
    ConfigurationError,
    LocalEngine,
    PerdureError,
    RunNotFoundError,
    RunsFailedError,
    RunStatus,
)
from perdure.cli.main import main


async def answers(event: Any, ctx: Any) -> None:
    if event.input == "wait":
        await ctx.wait_for_signal("go")
    if event.input == "fail":
        raise ValueError("no")
    out(ctx, event.input)


AGENT = agent_of(answers)


def test_a_job_is_opened_and_closed_without_a_block(store: str) -> None:
    async def test() -> None:
        engine = LocalEngine(store)
        job = await engine.start(AGENT)
        assert repr(job) == "<Job 'default'>"
        run = await job.submit("a", key="k", id="one")
        assert values(await run.outputs()) == ["a"]
        assert repr(run) == f"<Run {run.id} of key 'k', completed>"
        waits = await job.submit("wait", key="w")
        await until(lambda: waits.status is RunStatus.WAITING)
        await job.close()
        await job.close()  # again does nothing
        assert repr(job) == "<Job 'default', closed>"
        with pytest.raises(PerdureError, match="closed"):
            await job.submit("b", key="k")
        again = await engine.start(AGENT)  # what was unfinished goes on
        await again.signal(waits.id, "go")
        assert values(await asyncio.wait_for(again.run(waits.id).outputs(), SECONDS)) == ["wait"]
        await again.drain()
        await again.close()

    asyncio.run(test())


def test_a_run_is_found_by_the_id_of_its_input_or_its_own(store: str) -> None:
    async def test() -> None:
        engine = LocalEngine(store)
        async with engine.open(AGENT) as job:
            ids: list[str | int] = ["order-7", 12, "r1"]
            runs = [await job.submit(f"v{n}", key=f"k{n}", id=id_) for n, id_ in enumerate(ids)]
            for run in runs:
                await run.wait()
            for name, run in (
                ("order-7", runs[0]),
                ("12", runs[1]),
                ("r2", runs[1]),
                ("r3", runs[2]),
            ):
                assert job.run(name).id == run.id
                assert engine.run_info(name).id == run.id
                assert values(await job.run(name).outputs()) == values(await run.outputs())
            # r1 is the first run's own id, and was given with the third one's input.
            for look in (job.run, engine.run_info):
                with pytest.raises(PerdureError, match=r"names two runs: r3.*and r1"):
                    look("r1")
            with pytest.raises(PerdureError, match="names two runs"):
                await job.signal("r1", "go")
            # What the error says to give is always right, in whatever way it is asked.
            assert [look("run:r1").id for look in (job.run, engine.run_info)] == ["r1", "r1"]
            assert [look("run:r3").id for look in (job.run, engine.run_info)] == ["r3", "r3"]
            for unknown in ("run:", "run:r9", "run:order-7", "run:12", "run:r01", "Run:r1"):
                for look in (job.run, engine.run_info):
                    with pytest.raises(RunNotFoundError):
                        look(unknown)
            # What is only like r2 may be meant for an input that is not there.
            like = ("2", "02", "r02", " r2", "r2\n", "r+2", "r0x2", "r_2", "R2", "r\uff12", "r-2")
            for unknown in ("nobody", "rff", "r" + "f" * 40, "r0", "r", "", "-1", *like):
                for look in (job.run, engine.run_info):
                    with pytest.raises(RunNotFoundError):
                        look(unknown)
                with pytest.raises(RunNotFoundError):
                    await job.signal(unknown, "go")

    asyncio.run(test())


def test_a_text_and_a_number_that_read_alike_name_two_runs(store: str) -> None:
    async def test() -> None:
        engine = LocalEngine(store)
        async with engine.open(AGENT) as job:
            for key, id_ in (("a", 7), ("b", "7")):
                await (await job.submit("v", key=key, id=id_)).wait()
            for look in (job.run, engine.run_info):
                with pytest.raises(
                    PerdureError, match=r"'7' names two runs: r1 and r2.*give run:r1 or run:r2"
                ):
                    look("7")
            with pytest.raises(PerdureError, match="names two runs"):
                await job.signal("7", "go")
            assert job.run("r2").id == "r2"

    asyncio.run(test())


def test_an_input_s_id_names_a_run_in_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = LocalEngine("runs.db", job="named")  # a path is an SQLite store
    assert (tmp_path / "runs.db").exists() is False

    with pytest.raises(RunsFailedError):
        engine.run(AGENT, [{"id": "a-1"}, "fail"][1:], key=str, id=lambda value: "a-1")
    monkeypatch.setenv("PERDURE_STORE", "runs.db")
    monkeypatch.setenv("PERDURE_JOB", "named")
    assert main(["show", "a-1"]) == 0
    assert "run a-1 (r1)" in capsys.readouterr().out
    assert main(["trace", "a-1"]) == 0
    assert main(["retry", "a-1"]) == 0
    assert "run a-1 (key 'fail') will be retried" in capsys.readouterr().out
    assert main(["show", "a-2"]) == 1
    assert "give the id of its input" in capsys.readouterr().err
    done = subprocess.run(
        [sys.executable, "-m", "perdure", "runs"], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[1].split()[:2] == ["a-1", "r1"]


def test_runs_are_listed_by_the_name_of_a_status_and_one_has_its_outputs(store: str) -> None:
    engine = LocalEngine(store)
    with pytest.raises(RunsFailedError):
        engine.run(AGENT, ["a", "fail"], key=str)
    assert [info.id for info in engine.runs(status="failed")] == ["r2"]
    assert [info.id for info in engine.runs(status="Completed")] == ["r1"]
    with pytest.raises(ConfigurationError, match="'done': choose of queued, running"):
        engine.runs(status="done")
    (output,) = engine.run_info("r1").outputs
    assert (output.number, output.value) == (1, "a")
    assert engine.run_info("r2").outputs == ()


def test_a_run_that_is_held_follows_its_retry(store: str) -> None:
    lives = 0

    async def go(event: Any, ctx: Any) -> None:
        nonlocal lives
        lives += 1
        if lives in (1, 3):
            raise ValueError(f"life {lives}")
        ctx.set_status("second life")
        out(ctx, await ctx.wait_for_signal("go"))

    async def test() -> None:
        async with LocalEngine(store).open(agent_of(go)) as job:
            run = await job.submit(1, key="k")
            with pytest.raises(ValueError, match="life 1"):
                await run.outputs()
            assert run.status is RunStatus.FAILED
            assert await job.retry(run)
            await until(lambda: run.status is RunStatus.WAITING)
            assert [wait.name for wait in run.waits] == ["go"]
            assert (run.activity, repr(run)) == (
                "second life",
                f"<Run {run.id} of key 'k', waiting>",
            )
            assert await run.cancel()
            assert (await run.wait(), run.status) == (RunStatus.CANCELLED, RunStatus.CANCELLED)
            assert await job.retry(run)
            assert await run.wait() is RunStatus.FAILED
            assert await job.retry(run)
            await until(lambda: run.status is RunStatus.WAITING)
            await run.signal("go", "went")
            assert values(await asyncio.wait_for(run.outputs(), SECONDS)) == ["went"]

    asyncio.run(test())
