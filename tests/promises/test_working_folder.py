"""A store is where its path led when the engine was made, whatever folder the process is in."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import agent_of, out, values

from perdure import LocalEngine
from perdure.errors import StoreError
from perdure.operate.history import History


async def echo(event: Any, ctx: Any) -> None:
    out(ctx, event.input)


AGENT = agent_of(echo)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder; the process is in that of the store."""
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "there"
    there.mkdir()
    return there


def test_a_job_runs_on_and_is_looked_at_from_another_folder(there: Path) -> None:
    async def test() -> None:
        engine = LocalEngine("sqlite:///s.db")
        async with engine.open(AGENT) as job:
            os.chdir(there)  # before the first commit, which begins its life
            run = await job.submit(1, key=1, id="one")
            assert values(await run.outputs()) == [1]
            assert values(await job.run("one").outputs()) == [1]
            assert [each.id for each in engine.runs()] == [run.id]
            assert await job.input_ids([run]) == {run.id: "one"}

    asyncio.run(test())
    assert os.listdir(there) == []


def test_a_job_goes_on_from_another_folder(there: Path) -> None:
    engine = LocalEngine("s.db")
    assert values(engine.run(AGENT, [1], key=str)) == [1]
    os.chdir(there)
    assert values(engine.run(AGENT, [1], key=str)) == [1]
    assert len(engine.runs()) == 1
    assert os.listdir(there) == []


def test_a_look_goes_on_from_another_folder(there: Path) -> None:
    LocalEngine("s.db").run(AGENT, [1], key=str)
    with History.open("sqlite:///s.db") as history:
        os.chdir(there)
        job = history.job("default")
        assert not history.is_owned(job)
        assert history.counts(job)["completed"] == 1


def test_a_store_is_called_by_its_path_for_as_long_as_that_leads_there(there: Path) -> None:
    engine = LocalEngine("no/s.db")
    with pytest.raises(StoreError, match="does not exist: no; make it first"):
        engine.run(AGENT, [1], key=str)
    os.chdir(there)
    with pytest.raises(StoreError, match=f"does not exist: {there.parent}/no; make it first"):
        engine.run(AGENT, [1], key=str)
