"""Large payloads are kept compressed, and nobody but the disk notices (G5, G6, G23)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import (
    ONE,
    ROOT,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    pick,
    run,
)

from perdure import LocalEngine
from perdure.cli.main import main
from perdure.codec.compressed import COMPRESSED
from perdure.errors import PerdureError, StoreFormatError

REVIEWS = [
    json.loads(line)["review"]
    for line in (ROOT / "examples/product_reviews/sample_reviews.jsonl").read_text().splitlines()
]
TEXT = " ".join(REVIEWS)
NOISE = random.Random(1).randbytes(20_000)


async def fetch(what: str) -> Any:
    State.calls.append(what)
    return TEXT if what == "text" else NOISE


def stored(path: Path, kind: int = 2) -> list[bytes]:
    """The payloads of a kind of record, as they are on disk."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        sql = "SELECT payload FROM record WHERE kind = ? ORDER BY number"
        return [payload for (payload,) in db.execute(sql, (kind,))]


def test_a_text_takes_half_of_its_bytes_and_noise_all(tmp_path: Path) -> None:
    async def go(event: Any, ctx: Any) -> None:
        for what in ("text", "noise"):
            await ctx.durable_execute_async(fetch, what)

    path = tmp_path / "journal.db"
    run(agent_of(go), ONE, store=f"sqlite:///{path}")
    text, noise = stored(path)
    assert len(text) < 0.55 * len(TEXT)
    assert noise[-len(NOISE) :] == NOISE


def test_g6_large_values_of_all_sorts_come_back_after_a_crash(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("given", event.input["text"])
        found = [await ctx.durable_execute_async(fetch, each) for each in ("text", "noise")]
        try:
            await ctx.durable_execute_async(refuse, TEXT)
        except LookupError as error:
            found.append(error.args[0])
        await ctx.durable_execute_async(hold)
        out(ctx, [*found, ctx.short_term_memory.get("given")])

    def go_plain(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("given", event.input["text"])
        found = [ctx.durable_execute_async(fetch, each).result() for each in ("text", "noise")]
        try:
            ctx.durable_execute_async(refuse, TEXT).result()
        except LookupError as error:
            found.append(error.args[0])
        ctx.durable_execute_async(hold).result()
        out(ctx, [*found, ctx.short_term_memory.get("given")])

    agent = pick(kind, go, go_plain)
    inputs = [{"k": "a", "text": TEXT}]
    outputs = crash_and_resume(agent, inputs, store=store, config=config_of(kind))
    assert outputs == [[TEXT, NOISE, TEXT, TEXT]]
    assert State.calls == ["text", "noise", "refused"]


async def refuse(text: str) -> None:
    State.calls.append("refused")
    raise LookupError(text)


def test_the_bound_of_a_value_counts_its_plain_form() -> None:
    async def go(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(long, 3000)

    assert run(agent_of(go), ONE, config={"max-payload-bytes": 3100}) == []
    error = error_text(failures(agent_of(go), ONE, config={"max-payload-bytes": 2900}))
    assert "takes 3004 bytes in the journal, more than the 2900 allowed" in error


async def long(size: int) -> str:
    return "x" * size


# What is damaged


def header(size: int) -> bytes:
    return COMPRESSED + size.to_bytes(4, "big")


BOMB = header(16 << 20) + zlib.compress(b"\0" * (64 << 20))
DAMAGED = {
    "cut off": lambda data: data[:-10],
    "a byte": lambda data: data[:-9] + bytes([data[-9] ^ 16]) + data[-8:],
    "a size": lambda data: header(2 * len(TEXT)) + data[6:],
    "a bomb": lambda _data: BOMB,
    "a bomb that says so": lambda _data: header(64 << 20) + BOMB[6:],
}
PLACES = {
    "a result": ("record", "payload", "kind = 2", "a record of run r1, action 'go' on event 0"),
    "an input": ("run", "value", "1", "run r1"),
    "memory": ("memory", "data", "1", "path 'text' of key"),
}


async def _go(event: Any, ctx: Any) -> None:
    text = await ctx.durable_execute_async(fetch, "text")
    await ctx.wait_for_signal("go")
    ctx.short_term_memory.set("text", text)


async def _first(job: Any) -> Any:
    return await job.submit({"text": TEXT}, key="a", id="first")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a run in the middle of its action, whose key has a large memory."""
    path = tmp_path / "journal.db"

    async def begin() -> None:
        async with LocalEngine(f"sqlite:///{path}").open(agent_of(_go)) as job:
            before = await job.submit({"text": TEXT}, key="a")
            await before.signal("go")
            await before.wait()
            await _first(job)
            while job.progress.calls_made < 2 or not job.progress.waiting:
                await asyncio.sleep(0.005)
            job.stop_now()

    with pytest.raises(PerdureError, match="was stopped"):
        asyncio.run(begin())
    return path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", DAMAGED)
def test_g23_damage_is_named_where_a_job_meets_it_and_where_somebody_looks(
    kind: str, place: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, column, which, said = PLACES[place]
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            f"SELECT rowid, {column} FROM {table} WHERE {which} ORDER BY rowid DESC LIMIT 1"
            if table != "memory"
            else f"SELECT key, {column} FROM {table}"
        ).fetchall()
        [(row, data)] = rows
        assert data.startswith(COMPRESSED)
        id_ = "key" if table == "memory" else "rowid"
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {id_} = ?", (DAMAGED[kind](data), row))
        db.commit()

    async def go_on() -> None:
        async with LocalEngine(f"sqlite:///{path}").open(agent_of(_go)) as job:
            run = await _first(job)
            await run.signal("go")
            await run.wait()

    said = said.replace("r1", "r2")
    with pytest.raises(StoreFormatError, match="is damaged: table") as raised:
        asyncio.run(go_on())
    assert said in str(raised.value)
    assert "a compressed payload" in str(raised.value)
    if place != "memory":
        assert main(["show", "r2", "--store", f"sqlite:///{path}"]) == 1
        shown = capsys.readouterr().err
        assert f"{path} is damaged: table {table}" in shown
        assert said in shown
        assert shown.count("\n") == 1
