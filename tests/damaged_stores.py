"""Damages stores at random and uses them: `python -m tests.damaged_stores --seeds 2000`.

A store with runs of every kind is copied, one thing in it is damaged, and it is looked at and run.
Each time the outputs are right, or what is told is an error that names the store. A store that is
refused when it is opened is left as it was.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import io
import logging
import random
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, action
from perdure.cli.main import main
from perdure.errors import (
    InputError,
    NonDeterminismError,
    PerdureError,
    StoreError,
    StoreFormatError,
)

NAME = "job.db"
JOB = "job"
INPUTS = [{"id": key, "n": n} for n in range(3) for key in ("a", "b", "c")]
SETTLED = 4 * 9 + 6  # calls that are over in a store that was left: of each third run one waits

_gate: asyncio.Event | None = None  # while a base is made, some calls wait for ever


class Step(Event):
    n: int


async def add(n: int, more: int) -> int:
    if _gate is not None and n >= 10:
        await _gate.wait()
    return n + more


def double(n: int) -> list[int]:
    return [n, n]


async def refuse(n: int) -> None:
    raise ValueError(f"no {n}")


class Sums(Agent):
    """Uses what a journal can hold."""

    @action(InputEvent)
    async def begin(self, event: InputEvent, ctx: Any) -> None:
        n = event.input["n"]
        first, second = ctx.durable_execute_async(add, n, 1), ctx.durable_execute_async(add, n, 2)
        total = await first + await second
        with contextlib.suppress(ValueError):
            await ctx.durable_execute_async(refuse, n)
        await ctx.sleep(0.001)
        ctx.set_status({"total": total})
        ctx.short_term_memory.update("seen", lambda seen: [*(seen or []), n])
        ctx.sensory_memory.set("total", total)
        ctx.send_event(Step(n=total))

    @action(Step)
    async def end(self, event: Step, ctx: Any) -> None:
        pair = await ctx.durable_execute_async(double, event.n)
        again = await ctx.durable_execute_async(add, event.n + 10 * (event.n > 5), 0)
        total = ctx.sensory_memory.get("total")
        seen = ctx.short_term_memory.get("seen")
        ctx.send_event(OutputEvent(output=[pair, again, total, seen]))


def expected() -> list[Any]:
    """The outputs of all inputs, in the order of their texts."""
    found = []
    for each in INPUTS:
        n, total = each["n"], 2 * each["n"] + 3
        again = total + 10 * (total > 5)
        found.append([[total, total], again, total, list(range(n + 1))])
    return sorted(found, key=repr)


# Stores that are whole


class Bases:
    """Stores to damage, made once: finished; left in the middle; the same with its WAL."""

    def __init__(self, folder: Path) -> None:
        self._folders = [folder / name for name in ("finished", "unfinished", "killed")]
        finished, unfinished, killed = self._folders
        for each in self._folders:
            each.mkdir(parents=True)
        asyncio.run(self._finish(finished))
        asyncio.run(self._leave(unfinished, killed))

    async def _finish(self, folder: Path) -> None:
        async with LocalEngine(f"sqlite:///{folder / NAME}", job=JOB).open(Sums) as job:
            for number, each in enumerate(INPUTS):
                await job.submit(each, key=each["id"], id=str(number))

    async def _leave(self, unfinished: Path, killed: Path) -> None:
        global _gate
        _gate = asyncio.Event()
        engine = LocalEngine(f"sqlite:///{unfinished / NAME}", job=JOB)
        with contextlib.suppress(PerdureError):  # it was stopped
            async with engine.open(Sums) as job:
                await self._begin(job, unfinished)
                while not _copied(unfinished, killed):
                    await asyncio.sleep(0.01)
                job.stop_now()
        _gate = None

    async def _begin(self, job: Any, folder: Path) -> None:
        for number, each in enumerate(INPUTS):
            await job.submit(each, key=each["id"], id=str(number))
        while _settled(folder / NAME) < SETTLED:
            await asyncio.sleep(0.01)

    def copy(self, random_: random.Random, folder: Path) -> Path:
        """Copy one of them to a new folder and return its file."""
        shutil.copytree(random_.choice(self._folders), folder)
        return folder / NAME


def _settled(path: Path) -> int:
    """Return how many calls are over in a store."""
    with _open(path) as db:
        sql = "SELECT count(*) FROM record WHERE kind IN (2, 3)"  # RESULT, ERROR
        return int(db.execute(sql).fetchone()[0])


def _copied(source: Path, target: Path) -> bool:
    """Copy the files of a store that is in use; say whether nothing was written meanwhile."""
    files = [source / name for name in (NAME, f"{NAME}-wal", f"{NAME}-{JOB}.mark")]
    copied = [shutil.copy(file, target / file.name) for file in files]
    return [file.read_bytes() for file in files] == [copy.read_bytes() for copy in copied]


# What is done to them


def _open(path: Path) -> Any:
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


def flip(random_: random.Random, path: Path) -> str:
    """Change bytes of a page, of the file or of its log."""
    log = path.with_name(f"{NAME}-wal")
    target = log if log.exists() and random_.random() < 0.5 else path
    data = bytearray(target.read_bytes())
    at = random_.randrange(0, max(len(data) - 64, 1))
    count = random_.choice([1, 1, 4, 64])
    for offset in range(at, min(at + count, len(data))):
        data[offset] ^= random_.randrange(1, 256)
    target.write_bytes(data)
    return f"{count} bytes of {target.name} at {at}"


def cut(random_: random.Random, path: Path) -> str:
    """Cut the file off."""
    size = random_.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"cut at {size}"


GARBAGE: tuple[Any, ...] = (
    None, -1, 0, 1, 2, 7, 2**40, 2**62, 2**63 - 1, -(2**63), 1.5, "", "text", "5", b"", b"\x00",
    b"\xff\xfe\xfd", b"\x01\xc1", b"\x01" + b"\x91" * 2000, b"\x02abc", "\U0001f600",
)  # fmt: skip


def change(random_: random.Random, path: Path) -> str:
    """Set one column of one row to something else."""
    with _open(path) as db:
        table, column = _column(random_, db)
        value = random_.choice(GARBAGE)
        if random_.random() < 0.2:
            value = random_.randbytes(random_.randrange(1, 40))
        sql = f'UPDATE "{table}" SET "{column}" = ? {_some_row(random_, db, table)}'
        if random_.random() < 0.1:
            sql, value = sql.replace("= ?", "= CAST(? AS TEXT)"), b"\xff\xfe"  # no UTF-8
        with contextlib.suppress(sqlite3.IntegrityError, sqlite3.OperationalError):
            db.execute(sql, (value,))
        return f"{sql}: {value!r:.60}"


def swap(random_: random.Random, path: Path) -> str:
    """Give a row a value of another one of its table."""
    with _open(path) as db:
        table, column = _column(random_, db)
        values = [row[0] for row in db.execute(f'SELECT "{column}" FROM "{table}"')] or [None]
        value = random_.choice(values)
        sql = f'UPDATE "{table}" SET "{column}" = ? {_some_row(random_, db, table)}'
        with contextlib.suppress(sqlite3.IntegrityError):
            db.execute(sql, (value,))
        return f"{sql}: {value!r:.60}"


def drop(random_: random.Random, path: Path) -> str:
    """Drop a table, an index or a trigger."""
    with _open(path) as db:
        found = db.execute(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        ).fetchall()
        kind, name = random_.choice(found)
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute(f'DROP {kind} "{name}"')
        return f"drop {kind} {name}"


def drop_column(random_: random.Random, path: Path) -> str:
    """Drop a column."""
    with _open(path) as db:
        table, column = _column(random_, db)
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute(f'ALTER TABLE "{table}" DROP COLUMN "{column}"')
        return f"drop {table}.{column}"


def delete(random_: random.Random, path: Path) -> str:
    """Delete a row, or all of a table."""
    with _open(path) as db:
        table, _ = _column(random_, db)
        row = "" if random_.random() < 0.1 else _some_row(random_, db, table)
        db.execute(f'DELETE FROM "{table}" {row}')
        return f"delete from {table} {row}"


def repeat(random_: random.Random, path: Path) -> str:
    """Write a record once more."""
    with _open(path) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(record)") if row[1] != "number"]
        columns = ", ".join(names)
        row = _some_row(random_, db, "record")
        db.execute(f"INSERT INTO record ({columns}) SELECT {columns} FROM record {row}")
        return f"repeat a record {row}"


DAMAGES = (flip, flip, flip, cut, change, change, change, change, swap, drop, drop_column, delete,
           delete, repeat)  # fmt: skip
TABLES = ("job", "key", "run", "input", "record", "record", "record", "memory", "output")


def _column(random_: random.Random, db: sqlite3.Connection) -> tuple[str, str]:
    table = random_.choice(TABLES)
    return table, random_.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])


def _some_row(random_: random.Random, db: sqlite3.Connection, table: str) -> str:
    keys = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5]]
    rows = db.execute(f'SELECT {", ".join(keys)} FROM "{table}" ORDER BY 1').fetchall()
    if not rows:
        return "WHERE 0"
    row = random_.choice(rows)
    return "WHERE " + " AND ".join(
        f"{key} = {_literal(v)}" for key, v in zip(keys, row, strict=True)
    )


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


# What becomes of it

LOOKS = [
    ["runs"], ["runs", "--json"], ["runs", "--status", "waiting"], ["runs", "--key", "a"],
    *([command, f"r{number}"] for command in ("show", "trace") for number in (1, 4, 7, 9)),
    ["show", "r2", "--json"],
]  # fmt: skip


class Failure(Exception):
    """A damaged store did what it must not do."""


def examine(seed: int, bases: Bases, folder: Path) -> str:
    """Damage a store and use it; return how it ended.

    Raises:
        Failure: it ended in another way than it may.
    """
    random_ = random.Random(seed)
    path = bases.copy(random_, folder)
    damage = random_.choice(DAMAGES)
    what = f"seed {seed}: {damage.__name__}: {damage(random_, path)}"
    untouched = _files(folder)
    try:
        _look(random_, path)
        ended = asyncio.run(asyncio.wait_for(_run(path), PATIENCE))
    except Failure as error:
        raise Failure(f"{what}: {error}") from error.__cause__
    except TimeoutError:
        raise Failure(f"{what}: it hangs") from None
    except BaseException as error:
        raise Failure(f"{what}: {type(error).__name__}: {error}") from error
    if ended.startswith("refused") and (changed := _changed(untouched, _files(folder))):
        raise Failure(f"{what}: {ended}, and {changed} changed")
    if ended == "other outputs" and not _is_lost(damage, what):
        raise Failure(f"{what}: its outputs are wrong")
    return ended


def _is_lost(damage: Any, what: str) -> bool:
    """Say whether nothing else in the store could tell that it was damaged.

    Another value of the right form is one; nothing refers to an input's id, or to the outputs of a
    run that has ended.
    """
    gone = damage is delete and any(f"from {table}" in what for table in ("input", "output"))
    return gone or damage in (flip, change, swap)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    # What SQLite's readers share, and who has the job, are no content.
    names = {*before, *after} - {f"{NAME}-{JOB}.lock", f"{NAME}-shm"}
    return sorted(name for name in names if before.get(name) != after.get(name))


def _look(random_: random.Random, path: Path) -> None:
    for command in random_.sample(LOOKS, 2):
        told, shown = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(told):
            code = main([*command, "--store", f"sqlite:///{path}"])
        text = told.getvalue()
        if code not in (0, 1) or (code and not text.startswith("perdure: ")):
            raise Failure(f"{command} ends with {code}: {text}")
        if "--debug shows where" in text or text.count("\n") > 1:
            raise Failure(f"{command} says: {text}")


async def _run(path: Path) -> str:
    """Run the job to its end; return how that was."""
    engine = LocalEngine(f"sqlite:///{path}", job=JOB)
    outputs = []
    is_open = False
    try:
        async with engine.open(Sums) as job:
            is_open = True
            runs = []
            for number, each in enumerate(INPUTS):
                runs.append(await job.submit(each, key=each["id"], id=str(number)))
            for run in runs:
                outputs += await run.outputs()
    except StoreFormatError as error:
        if str(path) not in str(error):
            raise Failure(f"it is not named: {error}") from error
        return "stopped" if is_open else f"refused ({error})"
    except (NonDeterminismError, InputError, StoreError) as error:
        return f"{type(error).__name__} ({error})"
    values = sorted((output.value for output in outputs), key=repr)
    return "right" if values == expected() else "other outputs"


def run(arguments: list[str]) -> int:
    """Examine as many seeds as asked; print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--go-on", action="store_true", help="list all failures")
    given = parser.parse_args(arguments)
    logging.getLogger("perdure").addHandler(logging.NullHandler())
    counts: collections.Counter[str] = collections.Counter()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="perdure-damaged-") as made:
        folder = Path(made)
        bases = Bases(folder / "bases")
        for seed in range(given.first, given.first + given.seeds):
            here = folder / str(seed)
            try:
                counts[examine(seed, bases, here).partition(" (")[0]] += 1
            except Failure as failure:
                failed += 1
                print(failure)
                if not given.go_on:
                    raise
            shutil.rmtree(here, ignore_errors=True)
    print(f"{given.seeds} damaged stores, {failed} wrong: {dict(counts)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
