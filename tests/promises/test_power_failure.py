"""G5 on a machine that loses its power: what anybody was told of is on the disk by then."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import COROUTINE, OFF, PLAIN, config_of, out, pick, run

from perdure.store.sqlite import flush, log_size
from perdure.store.sqlite.file import connect_reader

KEYS, CALLS = 40, 4


class Disk:
    """Keeps what the disk has after each flush: the store as it is without what came later."""

    def __init__(self, store: Path, kept: Path) -> None:
        self._store, self._kept = store, kept
        self.flushes = 0
        self.saw: list[tuple[int, str]] = []  # flushes until then, and whose call it was

    def flush(self, file: int) -> None:
        place = self._kept / str(self.flushes + 1)
        place.mkdir()
        for end in ("", "-wal"):
            shutil.copy(f"{self._store}{end}", place / f"store.db{end}")
        self.flushes += 1

    def results(self, number: int) -> set[str]:
        """Return the calls whose outcome the disk had after so many flushes."""
        sql = "SELECT detail FROM record WHERE kind = 2"
        return {detail for (detail,) in self._found(number, sql)}

    def outputs(self, number: int) -> int:
        """Return how many outputs the disk had after so many flushes."""
        ((count,),) = self._found(number, "SELECT count(*) FROM output")
        return int(count)

    def _found(self, number: int, sql: str) -> list[Any]:
        store = connect_reader(self._kept / str(number) / "store.db")
        try:
            return store.execute(sql).fetchall()
        finally:
            store.close()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    kept = tmp_path / "kept"
    kept.mkdir()
    disk = Disk(tmp_path / "store.db", kept)
    monkeypatch.setattr(flush, "flush_file", disk.flush)
    monkeypatch.setattr(log_size, "CHECKPOINT_PAGES", 60)
    return disk


async def echo(text: str) -> str:
    await asyncio.sleep(0)
    return text


@pytest.mark.parametrize("kind", [COROUTINE, PLAIN, OFF])
def test_g5_what_an_action_saw_the_disk_has(disk: Disk, tmp_path: Path, kind: str) -> None:
    async def steps(event: Any, ctx: Any) -> None:
        for n in range(CALLS):
            text = await ctx.durable_execute_async(echo, f"{event.input['k']}.{n}")
            disk.saw.append((disk.flushes, text))
        out(ctx, event.input["k"])

    def plain_steps(event: Any, ctx: Any) -> None:
        for n in range(CALLS):
            text = ctx.durable_execute_async(echo, f"{event.input['k']}.{n}").result()
            disk.saw.append((disk.flushes, text))
        out(ctx, event.input["k"])

    inputs = [{"k": f"k{n}"} for n in range(KEYS)]
    store = f"sqlite:///{tmp_path / 'store.db'}"
    given: list[int] = []  # flushes until each output came to the sink
    agent = pick(kind, steps, plain_steps)
    run(
        agent, inputs, store=store, config=config_of(kind),
        sink=lambda output: given.append(disk.flushes),
    )  # fmt: skip
    assert (len(disk.saw), len(given)) == (KEYS * CALLS, KEYS)
    had = {number: disk.results(number) for number, _ in disk.saw}
    assert [text for number, text in disk.saw if repr(text) not in had[number]] == []
    for count, number in enumerate(given, start=1):
        assert disk.outputs(number) >= count
