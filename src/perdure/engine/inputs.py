"""What a source gives, as the inputs of a job: their keys, ids and places, and their admission."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from perdure.connectors.base import Source, SourceItem
from perdure.errors import InputError, PerdureError, StoreError
from perdure.runtime.job_runtime import BACKOFF_SECONDS, Admitted, JobRuntime, NewInput

logger = logging.getLogger("perdure")

CHUNK = 512  # inputs admitted together at most

Field = str | Callable[[Any], Any]
Submission = tuple[NewInput, asyncio.Future[Admitted]]


class InputReader:
    """Reads a source to its end and admits its inputs, not faster than runs finish (G20).

    Owns: the iterator of the source. Lifecycle: `read` once; `stop` ends it early. On the host
    loop.

    Args:
        runtime: where inputs are admitted.
        source: the inputs, read from the start.
        key: the key of an input: a field name or a function.
        id_: its idempotency id, likewise, or None.
        sink_room: returns when the sink is not too far behind.
        count: told of each input that is durable.

    Attributes:
        runs: the runs of the inputs read, in order; True for those that are new.
    """

    def __init__(
        self,
        runtime: JobRuntime,
        source: Source,
        key: Field,
        id_: Field | None,
        *,
        sink_room: Callable[[], Awaitable[None]],
        count: Callable[[Admitted], None],
    ) -> None:
        self._runtime = runtime
        self._source = source
        self._key = key
        self._id = id_
        self._sink_room = sink_room
        self._count = count
        self._stopped = False
        self._reading: asyncio.Task[None] | None = None
        self.runs: dict[int, bool] = {}

    def stop(self) -> None:
        """Read no more; `read` returns when what was read is durable."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()  # it may be waiting for a slow source

    async def read(self) -> None:
        """Return when every input read is durable.

        Raises:
            InputError: an input is bad or has changed; those before it are admitted.
            EncodeError: one cannot be journaled.
        """
        self._reading = asyncio.get_running_loop().create_task(self._read())
        try:
            await self._reading
        finally:
            self._reading = None

    async def _read(self) -> None:
        waiting: list[Submission] = []
        runtime = self._runtime
        items = self._source.open()
        bad: InputError | None = None
        try:
            room = min(CHUNK, await runtime.wait_for_room())
            async for read in items:
                item = new_input(read, self._source.name, self._key, self._id)
                waiting.append((item, runtime.admit(item)))
                if len(waiting) >= room:
                    await self._settle(waiting)
                    await self._sink_room()
                    room = min(CHUNK, await runtime.wait_for_room())
                if self._stopped:
                    break
        except asyncio.CancelledError:
            if not self._stopped:
                raise
        except InputError as error:
            bad = error  # what was read before it is admitted all the same
        finally:
            await items.aclose()
        await self._settle(waiting)
        if bad is not None:
            raise bad

    async def _settle(self, waiting: list[Submission]) -> None:
        """Wait until the inputs read so far are durable; admit again what the store lost."""
        pause, longest = BACKOFF_SECONDS
        bad: Exception | None = None
        while waiting:
            await asyncio.wait([future for _, future in waiting])
            lost = []
            for item, future in waiting:
                error = future.exception()
                if isinstance(error, StoreError):
                    lost.append(item)
                    reason = error
                elif error is not None:
                    bad = bad or _as_exception(error)
                else:
                    admitted = future.result()
                    self.runs.setdefault(admitted.run, admitted.is_new)
                    self._count(admitted)
            waiting.clear()
            if lost:
                logger.error("inputs cannot be admitted (%s); trying again", reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
                waiting.extend((item, self._runtime.admit(item)) for item in lost)
        if bad is not None:
            raise bad


def new_input(item: SourceItem, source: str, key: Field, id_: Field | None) -> NewInput:
    """Return an item of a source as an input.

    Args:
        item: what the source gave.
        source: its name.
        key: the key: a field name or a function of the value.
        id_: the idempotency id, likewise, or None.

    Raises:
        InputError: it has no such field, or the function failed.
    """
    line = item.line
    place = f"line {line} of {source}" if line else f"input {item.position} of {source}"
    return NewInput(
        value=item.value,
        key=_field(item.value, key, "key", place),
        id=_field(item.value, id_, "id", place) if id_ is not None else None,
        source=source,
        position=item.position,
        place=place,
    )


def _field(value: Any, field: Field, what: str, place: str) -> Any:
    """Return a field of an input, or what a function makes of it."""
    if callable(field):
        try:
            return field(value)
        except Exception as error:
            raise InputError(
                f"{place}: the {what} function raised {type(error).__name__}: {error}"
            ) from error
    if isinstance(value, Mapping):
        if field in value:
            return value[field]
        has = ", ".join(map(repr, list(value)[:8])) or "nothing"
        raise InputError(f"{place} has no field {field!r} for the {what}; it has {has}")
    try:
        return getattr(value, field)
    except AttributeError:
        raise InputError(
            f"{place} is a {type(value).__name__} without {field!r}: give {what}= a function"
        ) from None


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else PerdureError(str(error))
