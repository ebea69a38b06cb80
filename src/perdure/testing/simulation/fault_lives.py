"""Lives of a job in a bad world: its store fails, its output is a file, others leave it commands.

The job is the local engine's own, with its source, its sink and its schedules, all but the threads.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from perdure.agent.plan import AgentPlan
from perdure.codec.codec import Codec
from perdure.config.configuration import Configuration
from perdure.connectors.base import Source, SourceItem
from perdure.connectors.jsonl import JsonlSink
from perdure.engine.open_job import OpenJob
from perdure.engine.schedule import Schedule
from perdure.errors import StoreError
from perdure.journal.record import decode_signal, encode_signal
from perdure.run import RunInfo
from perdure.store.base import NUMBER_BITS, CommandRow, Row
from perdure.testing.simulation.calls import UNIT, Life, Outside, Start
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.fault_programs import (
    START,
    TICKING,
    FaultProgram,
    Sending,
    Troubles,
)
from perdure.testing.simulation.lives import EPOCH, JOB, LATENCY, SOURCE, abandon, world_of
from perdure.testing.simulation.loop import Moment, SimulatedLoop
from perdure.testing.simulation.store import Fate, SimulatedStore, Tables

BEGIN = Moment(EPOCH.instant + int(START * 1e9))
CRON = "cron"  # key and name of the schedule
EVERY_MINUTE = "* * * * *"
# Where commits fail, a run may take more than a minute, and those behind it would never end.
FOR_TEN_MINUTES = "0-9 0 1 1 *"
AGAIN = 0.3  # seconds after which a person, or a program, tries again what the store refused


class Past(NamedTuple):
    """What happened until a crash, in all lives.

    Attributes:
        batches: what was committed.
        moments: when each of these was durable.
        files: what the output file held at each of these moments.
        starts: the attempts that began.
        spans: from when to when each process lived, ns since the epoch.
        crashes: how many batches there were at each crash.
        written: what the output file held when the next batch would have been durable.
    """

    batches: Sequence[Sequence[Row]] = ()
    moments: Sequence[Moment] = ()
    files: Sequence[bytes] = ()
    starts: Sequence[Start] = ()
    spans: Sequence[tuple[int, int]] = ()
    crashes: Sequence[int] = ()
    written: bytes = b""

    def until(self, after: int, *, late: bool) -> Past:
        """Return what had happened when batch `after` was durable, when its process crashed.

        Args:
            after: number of the batch.
            late: it crashed just before the next one was durable: what began since has begun.
        """
        following = min(after, len(self.files) - 1)
        crash = self.moments[following if late else after - 1]
        written = self.files[following]
        files = [*self.files[: after - 1], written if late else self.files[after - 1]]
        return Past(
            self.batches[:after], self.moments[:after], files,
            [start for start in self.starts if start.commits < after + late],
            [*self.spans[:-1], (self.spans[-1][0], crash.instant)], [*self.crashes, after], written,
        )  # fmt: skip


class Lived(NamedTuple):
    """What came of the last life.

    Attributes:
        past: what happened in all lives.
        tables: what the store holds.
        problems: promises broken within the life.
    """

    past: Past
    tables: Tables
    problems: Sequence[str]


class Setting(NamedTuple):
    """What all lives of a seed have in common.

    Attributes:
        program: what is simulated.
        plan: the agent's.
        outside: the world outside.
        output: path of the output file.
    """

    program: FaultProgram
    plan: AgentPlan
    outside: Outside
    output: Path


def go_on(setting: Setting, past: Past, start: Moment) -> Lived:
    """Run the job from what the past left to its end, in a process that starts at `start`."""
    program = setting.program
    batches, moments, files = list(past.batches), list(past.moments), list(past.files)
    loop = SimulatedLoop(start)
    chance = random.Random(f"life {program.seed} {len(batches)} {len(past.crashes)}")
    _restore(setting.output, past, chance)
    for command in _left_meanwhile(program, past, start):
        batches.append([command])
        moments.append(Moment(command.at))
        files.append(files[-1] if files else b"")
    life = Life(loop, setting.outside, batches, Fakes())

    def committed(batch: Sequence[Row]) -> None:
        moments.append(loop.moment)
        files.append(_content(setting.output))
        life.committed(batch)

    def later(callback: Callable[[], None]) -> None:
        loop.call_after(1 + chance.randrange(LATENCY), callback)

    fate = functools.partial(_fate, program.troubles, chance, loop)
    store = SimulatedStore(batches, later=later, committed=committed, fate=fate, failed=life.failed)
    try:
        loop.run_until_complete(_World(setting, life, store).live())
    except Exception as error:
        life.problems.append(f"{type(error).__name__}: {error}")
        abandon(loop)
    finally:
        loop.close()
    lived = Past(
        store.batches, moments, files, [*past.starts, *life.starts],
        [*past.spans, (start.instant, loop.instant)], past.crashes,
    )  # fmt: skip
    return Lived(lived, store.tables, [*life.problems, *loop.problems])


# The world


def _fate(troubles: Troubles, chance: random.Random, loop: SimulatedLoop) -> Fate:
    """Say what becomes of a commit at this moment."""
    if _is_full(troubles, loop.instant):
        return Fate.LOST
    if chance.random() < troubles.failing:
        return Fate.UNKNOWN if chance.random() < troubles.unknown else Fate.LOST
    return Fate.WRITTEN


def _is_full(troubles: Troubles, instant: int) -> bool:
    return any(start <= instant - BEGIN.instant < end for start, end in troubles.full)


def _content(output: Path) -> bytes:
    try:
        return output.read_bytes()
    except FileNotFoundError:
        return b""


def _restore(output: Path, past: Past, chance: random.Random) -> None:
    """Let the output file be as at the crash, with a part of what was being written just then."""
    if not past.files:
        output.unlink(missing_ok=True)
        return
    held = past.files[-1]
    more = past.written[len(held) :] if past.written.startswith(held) else b""
    output.write_bytes(held + more[: chance.choice((0, len(more), chance.randint(0, len(more))))])


def admitted_run(tables: Tables, position: int) -> int | None:
    """Return the run of an input, if it has been admitted."""
    entry = tables.inputs.get((1, SOURCE, int, position))
    return entry[0] if entry is not None else None


def commands_in(batches: Sequence[Sequence[Row]]) -> dict[tuple[int, str], int]:
    """Return when each signal that was left in the inbox was: by run and name."""
    return {
        (row.run, decode_signal(row.payload or b"")[0]): row.at
        for batch in batches
        for row in batch
        if type(row) is CommandRow
    }


def _left_meanwhile(program: FaultProgram, past: Past, start: Moment) -> list[CommandRow]:
    """Return the commands that another process left while no process ran the job."""
    if not past.spans:
        return []
    tables = Tables()
    tables.jobs[JOB] = 1
    for batch in past.batches:
        tables.write(batch)
    left, down = commands_in(past.batches), past.spans[-1][1]
    rows = []
    for sending in sorted(program.sendings, key=lambda sending: sending.at):
        at = max(BEGIN.instant + sending.at, down)
        run = admitted_run(tables, sending.position)
        if run is None or not sending.from_outside or (run, sending.name) in left:
            continue
        if at < start.instant and not _is_full(program.troubles, at):
            rows.append(_command(run, sending, at))
    return rows


def _command(run: int, sending: Sending, at: int) -> CommandRow:
    payload = encode_signal(sending.name, Codec().encode(sending.name))
    return CommandRow(run >> NUMBER_BITS, run, "signal", payload, at)


class _Source(Source):
    """Gives each input when it comes."""

    name = SOURCE

    def __init__(self, program: FaultProgram, loop: SimulatedLoop) -> None:
        self._program = program
        self._loop = loop

    async def open(self) -> AsyncGenerator[SourceItem, None]:
        program = self._program
        for position, (given, at) in enumerate(zip(program.inputs, program.arrivals, strict=True)):
            await _sleep_until(BEGIN.instant + at, self._loop)
            yield SourceItem(position, given)


async def _sleep_until(instant: int, loop: SimulatedLoop) -> None:
    if instant > loop.instant:
        await asyncio.sleep((instant - loop.instant) / 1e9)


class _Job(OpenJob):
    """The engine's job; it looks up no failed runs, for which it would need a view of the store."""

    async def _failures(self, failed: list[int]) -> list[RunInfo]:
        return []


class _World:
    """All that goes on during one life: the job, and who sends it signals.

    Owns: the tasks of the senders.
    """

    def __init__(self, setting: Setting, life: Life, store: SimulatedStore) -> None:
        self._setting = setting
        self._program = setting.program
        self._life = life
        self._loop = life.loop
        self._store = store
        self._sending: list[asyncio.Task[None]] = []

    async def live(self) -> None:
        """Open the job, let it run to its end, close it."""
        job = await self._opened()
        stopped = job.runtime.stopped
        try:
            for sending in self._program.sendings:
                self._sending.append(self._loop.create_task(self._send(sending, job)))
            work = self._loop.create_task(self._work(job))
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                work.cancel()
                stopped.result()
            await work
        finally:
            for task in self._sending:
                task.cancel()
            await job.close()

    async def _opened(self) -> _Job:
        """Open the job, again for as long as its store fails, as who runs it would."""
        while True:
            sink = JsonlSink(self._setting.output)
            seed = self._program.seed
            # Every other job has nothing but deadlines that make it look for what others left it.
            world = msgspec.structs.replace(world_of(seed, self._life), watches_inbox=seed % 2 == 0)
            config = Configuration(self._program.config)
            job = _Job(self._store, JOB, self._setting.plan, config, sink, world)
            try:
                await job.open()
            except StoreError:
                await asyncio.sleep(AGAIN)
            else:
                return job

    async def _work(self, job: _Job) -> None:
        if self._program.has_schedule:
            await self._schedule(job)
        await job.drive(_Source(self._program, self._loop), _key, None, collect=False)
        if self._program.has_schedule:
            await _sleep_until(BEGIN.instant + int(TICKING * 1e9), self._loop)
            await job.drain()

    async def _schedule(self, job: _Job) -> None:
        while True:
            schedule = Schedule(
                job.runtime,
                CRON,
                FOR_TEN_MINUTES if self._program.troubles.any else EVERY_MINUTE,
                _tick_value,
                CRON,
                "UTC",
                check_loop=lambda asked: None,
                cancel=job.cancel,
                forget=job.forget_schedule,
            )
            try:
                await job.schedule(schedule)
            except StoreError:
                await asyncio.sleep(AGAIN)
            else:
                return

    async def _send(self, sending: Sending, job: _Job) -> None:
        """Send a signal when its time and its run have come, and nobody has sent it."""
        await _sleep_until(BEGIN.instant + sending.at, self._loop)
        while True:
            run = admitted_run(self._store.tables, sending.position)
            if run is not None and await self._sent(run, sending, job):
                return
            await asyncio.sleep(5 * UNIT / 1e9)

    async def _sent(self, run: int, sending: Sending, job: _Job) -> bool:
        known = (run, sending.name) in self._life.progress.signalled
        if known or (run, sending.name) in commands_in(self._store.batches):
            return True
        if sending.from_outside:
            full = _is_full(self._program.troubles, self._loop.instant)
            if not full:
                self._store.leave([_command(run, sending, self._loop.instant)])
            return not full
        try:
            await job.signal(run, sending.name, sending.name)
        except StoreError:
            return False
        return True


def _key(given: tuple[str, str]) -> str:
    return given[0]


def _tick_value(tick: Any) -> str:
    return str(tick.isoformat())


def folder() -> str | None:
    """Return where output files cost least: memory, where the system has such a place."""
    memory = "/dev/shm"  # noqa: S108 - what is made in it has a folder of its own
    return memory if os.access(memory, os.W_OK) else None
