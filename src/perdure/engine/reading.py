"""InputReader: reads a source to its end into a job, in order and no faster than it is run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perdure.connectors.base import Source, SourceItem
from perdure.engine.bad_lines import BadLines
from perdure.engine.inputs import Field, new_input
from perdure.engine.key_share import KeyShare
from perdure.engine.progress import Progress
from perdure.engine.run_set import RunSet
from perdure.errors import (
    EncodeError,
    InputError,
    PerdureError,
    StoreDataError,
    StoreError,
    StoreFormatError,
)
from perdure.printable import printable_logger
from perdure.runtime.job_runtime import (
    BACKOFF_SECONDS,
    Admitted,
    JobRuntime,
    NewInput,
    NotAdmittedError,
    Series,
)
from perdure.store.base import NUMBER_BITS

logger = printable_logger("perdure")

CHUNK = 512  # inputs admitted together at most

Submitted = tuple[SourceItem, NewInput, asyncio.Future[Admitted]]


class InputReader:
    """One reading of a source.

    Behind an input that is refused nothing is admitted (G28), and behind one that the store lost
    nothing before it is admitted again (G1), however long the source takes over the next: within a
    chunk the inputs are a `Series`, and the next chunk is read only when this one is durable. Bad
    lines that the source passes over are durable with their chunk.

    Owns: which runs the inputs have, the inputs not durable yet. Lifecycle: `read` once; `stop`
    ends it early. On the host loop.

    Args:
        key: the key of an input: a field name or a function.
        id: its idempotency id, likewise.
        progress: where bad lines are counted.
        sink_room: returns when the sink is not too far behind.
        count: told of each input that is durable.

    Attributes:
        runs: the runs of the inputs read.
        known: those of them that were there before.
        inputs: number of inputs read and admitted.
        finished_before: number of those whose runs had ended before.
    """

    def __init__(
        self,
        runtime: JobRuntime,
        source: Source,
        *,
        key: Field,
        id: Field | None,
        progress: Progress,
        sink_room: Callable[[], Awaitable[None]],
        count: Callable[[Admitted], None],
    ) -> None:
        self._runtime = runtime
        self._source = source
        self._key = key
        self._id = id
        self._progress = progress
        self._sink_room = sink_room
        self._count = count
        self._stopped = False
        self._interrupted = False  # by `stop`, and has not noticed yet
        self._reading: asyncio.Task[None] | None = None
        first = runtime.job_number << NUMBER_BITS
        self.runs = RunSet(first)
        self.known = RunSet(first)
        self.inputs = 0
        self.finished_before = 0
        self._share = KeyShare()
        self._waiting: list[Submitted] = []
        self._series = Series()
        self._settling: asyncio.Task[None] | None = None  # since the store lost an input
        self._pausing: asyncio.Task[None] | None = None  # before these are admitted again
        self._bad_lines = BadLines(runtime.files, source, by_id=id is not None)

    def stop(self) -> None:
        """Read no more; `read` returns when what was read is durable."""
        self._stopped = True
        if self._reading is not None and not self._interrupted:
            self._interrupted = True
            self._reading.cancel()  # it may be waiting for a slow source
        if self._pausing is not None:
            self._pausing.cancel()

    async def read(self) -> None:
        """Read to the end; what was read before an error is admitted all the same.

        Raises:
            InputError: an input is bad or has changed; those behind it were not admitted.
            EncodeError: an input cannot be journaled; likewise.
        """
        self._reading = asyncio.get_running_loop().create_task(self._read())
        reader = asyncio.current_task()
        try:
            await self._reading
        except asyncio.CancelledError:
            # Stopped before it had begun; unless it is the reader that is to end.
            if not self._was_interrupted() or reader is None or reader.cancelling():
                raise
        finally:
            self._reading = None
            if self._settling is not None:
                self._settling.cancel()  # the job ends

    async def _read(self) -> None:
        items = self._source.open()
        bad: InputError | None = None
        try:
            room = await self._next_chunk()
            async for given in items:
                if self._settling is not None:
                    await self._settle()
                self._take(given)
                if len(self._waiting) + len(self._bad_lines) >= room:
                    await self._settle()
                    await self._sink_room()
                    room = await self._next_chunk()
                if self._stopped:
                    break
        except asyncio.CancelledError:
            if not self._was_interrupted():
                raise
        except InputError as error:
            bad = error
        finally:
            await items.aclose()
        try:
            await self._settle()
        except asyncio.CancelledError:
            if not self._was_interrupted():
                raise
            await self._settle()
        if bad is not None:
            raise bad
        self._share.warn(self._runtime.job)

    def _was_interrupted(self) -> bool:
        """Say whether `stop` has cancelled the reading, and nobody else."""
        interrupted, self._interrupted = self._interrupted, False
        return interrupted

    async def _next_chunk(self) -> int:
        """Return how many inputs it may have; it is another series."""
        room = min(CHUNK, await self._runtime.wait_for_room())
        self._series = Series(passes_over=self._passes_over)
        return room

    @property
    def _passes_over(self) -> bool:
        return self._source.on_bad_line == "skip"

    def _take(self, given: SourceItem) -> None:
        """Submit what a given stands for, or put it aside as bad."""
        if given.problem:
            self._pass_over(given, given.problem)
            return
        source = given.source or self._source.name
        try:
            item = new_input(given, source, self._key, self._id, self._series)
        except InputError as error:
            if not self._passes_over:
                raise
            self._pass_over(given, str(error))
            return
        admitted = self._runtime.admit(item)
        admitted.add_done_callback(self._heed)
        self._waiting.append((given, item, admitted))

    def _heed(self, admitted: asyncio.Future[Admitted]) -> None:
        """See to an input that the store lost at once: the source may give no other for long."""
        if self._settling is None and not admitted.cancelled():
            error = admitted.exception()
            if isinstance(error, StoreError) and not isinstance(error, StoreDataError):
                self._settle_aside()

    def _settle_aside(self) -> asyncio.Task[None]:
        if self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle_waiting())
        return self._settling

    async def _settle(self) -> None:
        """Wait until what was read so far is durable; admit again what the store lost.

        Once stopped that is not admitted again: the next process reads it.
        """
        settling = self._settle_aside()
        # Shielded: who stops the reading waits for what was read all the same.
        await asyncio.shield(settling)
        self._settling = None

    async def _settle_waiting(self) -> None:
        pause, longest = BACKOFF_SECONDS
        bad: Exception | None = None
        while self._waiting:
            await asyncio.wait([future for _, _, future in self._waiting])
            lost: list[tuple[SourceItem, NewInput]] = []
            # All of them are looked at: an error that nobody has seen is logged.
            errors = [future.exception() for _, _, future in self._waiting]
            for (given, item, future), error in zip(self._waiting, errors, strict=True):
                if error is None:
                    self._admitted(given, item, future.result())
                elif isinstance(error, StoreError) and not isinstance(error, _FOR_GOOD):
                    lost.append((given, item))
                    reason = error
                elif isinstance(error, NotAdmittedError):
                    pass  # the job drains: it is read again when the job is next run
                elif isinstance(error, EncodeError) and self._passes_over:
                    self._pass_over(given, str(error))
                else:
                    bad = _as_exception(error)
                    break  # what is behind it was not admitted either
            self._waiting.clear()
            if lost and not self._stopped:
                logger.error("inputs cannot be admitted (%s); trying again", reason)
                await self._pause(pause)
            if lost and not self._stopped:
                pause = min(2 * pause, longest)
                admit = self._runtime.admit
                self._series.begin_again()
                self._waiting.extend((given, item, admit(item)) for given, item in lost)
        await self._bad_lines.keep()
        if bad is not None:
            raise bad

    async def _pause(self, seconds: float) -> None:
        """Wait a while, and for a store that does not write, unless the reading is stopped."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            await self._runtime.wait_for_store()

        self._pausing = asyncio.get_running_loop().create_task(wait())
        try:
            await asyncio.wait([self._pausing])
        finally:
            self._pausing.cancel()
            self._pausing = None

    def _admitted(self, given: SourceItem, item: NewInput, admitted: Admitted) -> None:
        if self.runs.add(admitted.run) and not admitted.is_new:
            self.known.add(admitted.run)
        self.inputs += 1
        self.finished_before += admitted.ticket is None
        self._count(admitted)
        self._share.add(item.key, self._runtime.job)
        self._bad_lines.mended(given)

    def _pass_over(self, given: SourceItem, reason: str) -> None:
        self._bad_lines.add(given, reason)
        self._progress.bad_lines += 1


_FOR_GOOD = (StoreDataError, StoreFormatError, StoreFormatError)  # trying again would not help


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else PerdureError(str(error))
