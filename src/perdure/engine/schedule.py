"""Schedules: runs that a job starts by the clock.

The run of the next tick is in the store before its time has come, as a run that is due then, under
an id that the tick gives it. So each tick is one run, however often the job is opened and wherever
it crashes; and of the ticks that pass while no process runs the job, the first runs when one does.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import zoneinfo
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from perdure.checks import checked_name
from perdure.codec.error_texts import class_name, text_of
from perdure.errors import ConfigurationError, EncodeError, RunCancelledError, missing_extra
from perdure.executor.shutdown import ends_process
from perdure.printable import printable_logger
from perdure.run import RunStatus, run_id
from perdure.runtime.job_runtime import Admitted, JobRuntime, NewInput

logger = printable_logger("perdure")

ORIGIN = "perdure:schedule"  # where the ids of such runs belong
STOPPED = "its schedule was stopped"  # in the store too: why a run was cancelled
FIELDS = 5  # of a cron expression
Value = Any | Callable[[datetime.datetime], Any]


class Schedule:
    """One schedule of an open job.

    Owns: the timer of the next tick. Lifecycle: `begin` until `stop`, or until the job closes; it
    is declared anew whenever the job is opened. On the host loop.

    Attributes:
        name: its name, unique in the job.
        next_tick: when its next run is due.
        is_stopped: it starts no more runs; its name is free when `stop` returns.
    """

    def __init__(
        self,
        runtime: JobRuntime,
        name: str,
        cron: str,
        value: Value,
        key: Any,
        timezone: str | zoneinfo.ZoneInfo,
        *,
        check_loop: Callable[[str], None],
        cancel: Callable[[int, str], Awaitable[bool]],
        forget: Callable[[Schedule], None],
    ) -> None:
        self._runtime = runtime
        self._check_loop = check_loop
        self._cancel = cancel
        self._forget = forget
        self._value = value
        self._key = key
        self.name = checked_name(name, "schedule")
        self._ticks = ticks(name, cron, timezone, runtime.now())
        self._cancel_timer: Callable[[], None] | None = None
        self._number: int | None = None  # of the next run, once it is admitted
        self._beginning = asyncio.Lock()
        self.next_tick = next(self._ticks, None)
        self.is_stopped = False

    @property
    def next_run(self) -> str | None:
        """Id of its next run; None where it has none."""
        return None if self._number is None else run_id(self._number)

    async def begin(self) -> None:
        """Put the run of the next tick into the store; durable when this returns.

        Raises:
            EncodeError: the value or the key cannot be journaled.
            StoreError: it is not durable, or nobody knows; doing it again is safe.
        """
        if self.next_tick is not None:  # else the expression names no time any more
            await self._begin(self.next_tick, self._input(self.next_tick))

    def _input(self, tick: datetime.datetime) -> NewInput:
        value = self._value(tick) if callable(self._value) else self._value
        id_ = f"{self.name}@{tick.isoformat()}"
        return NewInput(value, self._key, id_, origin=ORIGIN, due=_due_at(tick), goes_by_id=True)

    async def _begin(self, tick: datetime.datetime, item: NewInput) -> None:
        async with self._beginning:
            admitted = await self._admitted(item)
            if admitted.is_other:
                logger.warning(
                    "schedule %r has changed; its run at %s stays as it was", self.name, tick
                )
            self._number = admitted.run
            if not self.is_stopped:
                self._wait(tick)
            else:  # it was stopped while its run was admitted
                await self._runtime.cancel(self._number, STOPPED)

    async def _admitted(self, item: NewInput) -> Admitted:
        """Admit the run of a tick, under a further id where `stop` has cancelled the one before.

        Each of these ids is found again by the next process, so the tick is one run all the same.
        """
        first = item.id
        for n in itertools.count(2):
            admitted = await self._runtime.admit(item)
            if not await self._was_stopped(admitted):
                break
            item = msgspec.structs.replace(item, id=f"{first}#{n}")
        return admitted

    async def _was_stopped(self, admitted: Admitted) -> bool:
        """Say whether `stop` has cancelled a run; one that a person cancelled stays so."""
        if admitted.ticket is not None:
            return False
        if await self._runtime.status(admitted.run) is not RunStatus.CANCELLED:
            return False
        try:
            await self._runtime.outputs_of(admitted.run)
        except RunCancelledError as error:
            return str(error).endswith(STOPPED)
        return False

    def _wait(self, tick: datetime.datetime) -> None:
        self._cancel_timer = self._runtime.call_at(_due_at(tick), self._due)

    def _due(self) -> None:
        self.next_tick, self._number, self._cancel_timer = next(self._ticks, None), None, None
        self._runtime.insist(self._go_on, f"schedule {self.name!r} cannot go on")

    async def _go_on(self) -> None:
        """Begin the next tick; where its value is none, leave it out."""
        tick = self.next_tick
        if tick is None:
            return
        try:
            item = self._input(tick)
        except BaseException as error:  # whatever its class is: others must not suffer
            if ends_process(error):
                raise
            self._leave_out(tick, error)
            return
        try:
            await self._begin(tick, item)
        except EncodeError as error:
            self._leave_out(tick, error)

    def _leave_out(self, tick: datetime.datetime, error: BaseException) -> None:
        logger.error(
            "schedule %r starts no run at %s and waits for the tick behind it: %s: %s",
            self.name, tick, class_name(type(error)), text_of(error),
        )  # fmt: skip
        self._wait(tick)

    async def stop(self) -> None:
        """Start no more runs; the one that is due next is cancelled."""
        self._check_loop("schedule.stop()")
        self.is_stopped = True
        try:
            async with self._beginning:  # else nobody knows yet which run is next
                if self._cancel_timer is not None:
                    self._cancel_timer()
                    self._cancel_timer = None
                    if self._number is not None:
                        await self._cancel(self._number, STOPPED)
        finally:
            self._forget(self)  # not before: who has the name then has another run


def ticks(
    name: str, cron: str, timezone: str | zoneinfo.ZoneInfo, after: int
) -> Iterator[datetime.datetime]:
    """Return the times that a cron expression names, behind `after` (ns since the epoch).

    Raises:
        ConfigurationError: the expression or the time zone is not known, or the extra is missing.
    """
    try:
        import cronsim
    except ImportError as error:
        raise missing_extra(f"schedule {name!r}", "schedules", error) from None
    if not isinstance(cron, str):
        raise _no_cron(name, cron, "it is no text")
    try:
        zone = timezone if isinstance(timezone, zoneinfo.ZoneInfo) else zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError):
        raise ConfigurationError(
            f"schedule {name!r}: there is no time zone {timezone!r} here (such as Europe/Berlin)"
        ) from None
    if len(cron.split()) != FIELDS:  # cronsim takes seconds as well
        raise _no_cron(name, cron, f"it has {len(cron.split())} fields")
    begin = datetime.datetime.fromtimestamp(after // 1_000_000_000, zone)
    try:
        found = cronsim.CronSim(cron, begin)
    except cronsim.CronSimError as error:
        raise _no_cron(name, cron, error) from None
    except ValueError:  # as Python says it of a number of thousands of digits
        raise _no_cron(name, cron, "a number in it is too long") from None
    # In the second pass of an hour that the clock repeats, the first ones may be of the first pass.
    return itertools.dropwhile(lambda tick: _due_at(tick) <= after, found)


def _no_cron(name: str, cron: object, why: object) -> ConfigurationError:
    return ConfigurationError(
        f"schedule {name!r}: {cron!r:.60} is no cron expression ({why}); write five fields:"
        " minute hour day month weekday, such as '0 6 * * 1-5'"
    )


def _due_at(tick: datetime.datetime) -> int:
    """Return a tick, which is a whole second, in ns since the epoch."""
    return int(tick.timestamp()) * 1_000_000_000
