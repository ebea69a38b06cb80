"""How the processes that had a job ended, as those who look from outside are told."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine
from perdure.cli.main import main
from perdure.operate.history import AsyncHistory
from perdure.operate.lives import lives, lives_during
from perdure.store.base import JobRow, LifeRow, Page

JOB = JobRow(job=1, name="job", created_at=0)
ROWS = [
    LifeRow(3, 1, "one", 70, 100, 190, 190, "c0ffee"),
    LifeRow(5, 1, "one", 71, 200, 200, None, None),
    LifeRow(8, 1, "two", 72, 300, 350, None, ""),
]


class View:
    """A view of a job that three processes had."""

    url = "memory://"

    def __init__(self, owned: bool) -> None:
        self.owned = owned

    async def lives(self, job: int, *, after: str) -> Page[LifeRow]:
        return Page(ROWS[2:], "") if after else Page(ROWS[:2], "5")

    async def is_owned(self, job: str) -> bool:
        return self.owned


@pytest.mark.parametrize(("owned", "last"), [(True, "running"), (False, "killed")])
def test_a_process_that_neither_has_the_job_nor_gave_it_back_was_killed(
    owned: bool, last: str
) -> None:
    view: Any = View(owned)
    found = asyncio.run(lives(AsyncHistory(view), JOB))
    assert [each.status for each in found] == ["ended", "killed", last]
    assert [(each.number, each.pid, each.ended_at, each.code) for each in found] == [
        (3, 70, 190, "c0ffee"), (5, 71, 0, ""), (8, 72, 0, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("admitted", "last", "numbers"),
    [
        (120, 180, [3]),
        (195, 199, []),  # the first had given the job back
        (250, 299, [5]),  # the second was seen last at 200, and killed at a time that nobody knows
        (250, 320, [5, 8]),
        (120, 400, [3, 5, 8]),
    ],
)
def test_who_had_a_job_while_a_run_went_on(admitted: int, last: int, numbers: list[int]) -> None:
    view: Any = View(owned=True)
    status = SimpleNamespace(is_final=True)
    run: Any = SimpleNamespace(
        run=SimpleNamespace(admitted_at=admitted, status=status), span=(admitted, last)
    )
    found = asyncio.run(lives_during(AsyncHistory(view), JOB, run))
    assert [each.number for each in found] == numbers


def test_a_run_is_shown_of_which_no_process_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lives.db"
    agent = Agent().add_action("nothing", [InputEvent], Idle().does_nothing)
    LocalEngine(f"sqlite:///{path}", job="job").run(agent, [{"k": 1}], key="k")
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM life")
    db.close()
    for command in ("show r1", "trace r1", "trace r1 --format html", "trace r1 --format perfetto"):
        capsys.readouterr()
        code = main([*command.split(), "--store", f"sqlite:///{path}"])
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, ""), command


class Idle(Agent):
    async def does_nothing(self, event: InputEvent, ctx: Any) -> None: ...


@pytest.mark.parametrize("store", ["memory://", "sqlite:///{}/lives.db"])
def test_an_open_job_is_seen_to_run_and_a_closed_one_to_have_ended(
    store: str, tmp_path: Any
) -> None:
    engine = LocalEngine(store.format(tmp_path), job="job")
    agent = Agent().add_action("nothing", [InputEvent], Idle().does_nothing)

    async def statuses() -> list[str]:
        async with AsyncHistory(engine._store.view()) as history:
            return [each.status for each in await lives(history, await history.job("job"))]

    async def main() -> list[list[str]]:
        seen = []
        for _ in range(2):
            async with engine.open(agent) as job:
                await (await job.submit(1, key="k")).wait()
                seen.append(await statuses())
        return [*seen, await statuses()]

    assert asyncio.run(main()) == [["running"], ["ended", "running"], ["ended", "ended"]]
