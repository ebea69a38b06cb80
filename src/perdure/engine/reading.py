"""InputReader: reads a source to its end into a job, in order and no faster than it is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

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
from perdure.executor import forks
from perdure.executor.shutdown import ends_process, what_ends
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
HELD_UP = 10_000  # inputs of full keys that are read past at most

Admission = asyncio.Future[Admitted]
Taken = tuple[SourceItem, NewInput]
Lost = tuple[SourceItem, NewInput, StoreError]


class InputReader:
    """One reading of a source.

    Behind an input that is refused nothing is admitted (G28), and behind one that the store lost
    nothing before it is admitted again (G1), however long the source takes over the next: the
    inputs are a `Series`, and the next chunk is read only when this one is durable. Nor does what
    is known of an input wait for the next: a refused one ends the reading at once. Bad lines that
    the source passes over are durable with their chunk.

    Inputs of a key that is full are read past (G20), up to `HELD_UP` of them: they stay with those
    that are not durable yet. A process that dies loses none, since the next one reads the source
    from its start and knows each input that was admitted.

    Owns: which runs the inputs have, the inputs not durable yet. Lifecycle: `read` once; `stop`
    ends it early. On the host loop.

    Args:
        key: the key of an input: a field name or a function.
        id: its idempotency id, likewise.
        progress: where bad lines are counted.
        sink_room: returns when the sink is not too far behind.
        count: told of each input that is durable; says whether its run ended in a process before.

    Attributes:
        runs: the runs of the inputs read.
        known: those of them that were there before.
        inputs: number of inputs read and admitted.
        finished_before: number of those whose runs ended in a process before.
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
        count: Callable[[Admitted], bool],
    ) -> None:
        self._runtime = runtime
        self._source = source
        self._key = key
        self._id = id
        self._progress = progress
        self._sink_room = sink_room
        self._count = count
        self._stopped = False
        self._interrupted = False  # by us, and has not noticed yet
        self._asked = False  # the source, for its next item
        self._reading: asyncio.Task[None] | None = None
        first = runtime.job_number << NUMBER_BITS
        self.runs = RunSet(first)
        self.known = RunSet(first)
        self.inputs = 0
        self.finished_before = 0
        self._share = KeyShare()
        self._waiting: dict[Admission, Taken] = {}  # since the last chunk was durable
        self._undecided: set[Admission] = set()  # of these
        self._counted = 0  # of the current chunk that wait no more
        self._held_up: dict[Admission, Taken] = {}  # since their keys are full
        self._changed = asyncio.Event()  # never stays set
        self._told = False  # that it reads no further
        self._series = Series(passes_over=self._passes_over, hold_up=self._hold_up)
        self._settling: asyncio.Task[None] | None = None  # since the store lost an input
        self._pausing: asyncio.Task[None] | None = None  # before these are admitted again
        self._bad_lines = BadLines(runtime.files, source, by_id=id is not None)

    def stop(self) -> None:
        """Read no more; `read` returns when what was read is durable."""
        self._stopped = True
        self._interrupt()
        if self._pausing is not None:
            self._pausing.cancel()

    def _interrupt(self) -> None:
        """Have the reading go on to its end, though it may be waiting for a slow source."""
        if self._reading is not None and not self._interrupted:
            self._interrupted = True
            self._reading.cancel()

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
        bad: Exception | None = None
        process = forks.process
        try:
            room = await self._next_chunk()
            self._asked = True
            async for given in items:
                self._asked = False
                if process is not forks.process:  # the next input is the parent's to ask for
                    forks.end_child()
                if self._settling is not None:
                    await self._settle()
                self._take(given)
                if self._chunk >= room or len(self._held_up) >= HELD_UP:
                    await self._settle()
                    await self._room_for_held_up()
                    await self._sink_room()
                    room = await self._next_chunk()
                if self._stopped:
                    break
                self._asked = True
        except (asyncio.CancelledError, GeneratorExit) as error:
            if self._asked and self._is_the_sources():
                bad = self._odd_end(error)
            elif isinstance(error, GeneratorExit) or not self._was_interrupted():
                raise
        except _REFUSED as error:
            bad = error
        except BaseException as error:
            if not ends_process(error):
                raise
            # As the end of this task it would be raised anew by each that waits for it, and out of
            # the loop each time, before they have closed the job.
            self._runtime.stop(what_ends(error))
            return
        finally:
            self._asked = False
            await _close(items, bad)
        try:
            await self._settle_all()
        except asyncio.CancelledError:
            if not self._was_interrupted():
                raise
            await self._settle_all()
        if bad is not None:
            raise bad
        self._share.warn(self._runtime.job)

    def _is_the_sources(self) -> bool:
        """Say whether the source raised what ends a task, and nobody has ended the reading."""
        reading = self._reading
        try:
            is_at_work = reading is not None and asyncio.current_task() is reading
        except RuntimeError:  # the loop is over, and this is done away with
            return False
        return is_at_work and reading is not None and not reading.cancelling()

    def _odd_end(self, error: BaseException) -> InputError:
        odd = InputError(
            f"source {self._source.name!r} raised {type(error).__name__} where its next input was"
            " asked for: mend it, and run again to go on"
        )
        odd.__cause__ = error
        return odd

    def _was_interrupted(self) -> bool:
        """Say whether we have cancelled the reading, and nobody else."""
        interrupted, self._interrupted = self._interrupted, False
        return interrupted

    async def _next_chunk(self) -> int:
        """Return how many inputs it may have."""
        self._counted = 0
        return min(CHUNK, await self._runtime.wait_for_room())

    @property
    def _chunk(self) -> int:
        """Number of inputs read of the current chunk; those held up hold up nothing else."""
        return self._counted + len(self._waiting) + len(self._bad_lines)

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
        self._submit(given, item)

    def _submit(self, given: SourceItem, item: NewInput) -> None:
        admitted = self._runtime.admit(item)
        self._waiting[admitted] = given, item
        self._undecided.add(admitted)
        admitted.add_done_callback(self._heed)

    def _hold_up(self, admitted: Admission, waits: bool) -> None:
        """Read past an input since its key is full, or have it be durable before others again."""
        if not waits:
            if (taken := self._held_up.pop(admitted, None)) is not None:
                self._waiting[admitted] = taken
                self._undecided.add(admitted)
        elif admitted in self._undecided:
            self._undecided.discard(admitted)
            self._held_up[admitted] = self._waiting.pop(admitted)
            self._tell()

    def _heed(self, admitted: Admission) -> None:
        """See at once to an input that was lost or refused: the source may give no other for long.

        For the same reason those that were admitted are counted when there is none to wait for.
        """
        self._undecided.discard(admitted)
        error = None if admitted.cancelled() else admitted.exception()
        if (taken := self._held_up.pop(admitted, None)) is not None:
            if error is None and not admitted.cancelled():
                self._admitted(*taken, admitted.result())
            else:
                self._waiting[admitted] = taken
        self._tell()
        if error is not None:
            if not isinstance(error, NotAdmittedError):
                self._settle_aside()
        elif self._asked and not (self._undecided or self._settling or admitted.cancelled()):
            self._counted += len(self._waiting)
            self._look_at_done()  # none of them is lost or refused, or there were a settling

    def _tell(self) -> None:
        self._changed.set()
        self._changed.clear()  # those who wait by now look again, all of them

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Return when it is so; looks when an input is held up, admitted, lost or refused."""
        while not reached():
            await self._changed.wait()

    async def _room_for_held_up(self) -> None:
        """Return when few enough inputs are held up, or something is to be seen to."""
        if len(self._held_up) < HELD_UP:
            return
        if not self._told:
            self._told = True
            logger.warning(
                "source %s is read no further for now: %s inputs that were read are of keys that"
                " wait, with as many runs queued as may be (max-runs-queued); other inputs wait"
                " with them until some of these begin",
                self._source.name, f"{HELD_UP:,}",
            )  # fmt: skip
        await self._until(lambda: len(self._held_up) < HELD_UP or bool(self._waiting))

    def _settle_aside(self) -> asyncio.Task[None]:
        if self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle_waiting())
            self._settling.add_done_callback(self._settled)
        return self._settling

    def _settled(self, settling: asyncio.Task[None]) -> None:
        """End the reading for an input that was refused, where it waits for another."""
        if self._asked and not settling.cancelled() and settling.exception() is not None:
            self._interrupt()

    async def _settle(self) -> None:
        """Wait until what was read so far is durable; admit again what the store lost.

        Once stopped that is not admitted again: the next process reads it.
        """
        settling = self._settle_aside()
        # Shielded: who stops the reading waits for what was read all the same.
        await asyncio.shield(settling)
        self._settling = None

    async def _settle_all(self) -> None:
        """Wait until all that was read is durable, those held up as well."""
        await self._settle()
        while self._held_up or self._waiting:
            await self._until(lambda: bool(self._waiting) or not self._held_up)
            await self._settle()

    async def _settle_waiting(self) -> None:
        pause, longest = BACKOFF_SECONDS
        bad: Exception | None = None
        lost: list[Lost] = []
        while True:
            await self._until(self._is_all_decided)
            also_lost, refused = self._look_at_done()
            bad = refused or bad
            lost += also_lost
            if not lost or self._stopped:
                break
            if also_lost:
                logger.error("inputs cannot be admitted (%s); trying again", lost[-1][2])
                await self._pause(pause)
                pause = min(2 * pause, longest)
                # One that was held up may have been lost meanwhile: it comes before these again.
                continue
            self._series.begin_again()
            for given, item, _ in sorted(lost, key=lambda each: each[1].place_in_series):
                self._submit(given, item)
            lost = []
        await self._bad_lines.keep()
        if bad is not None:
            raise bad

    def _is_all_decided(self) -> bool:
        """Say whether it is known of each input what came of it, or that it is held up."""
        return not (self._undecided or any(future.done() for future in self._held_up))

    def _look_at_done(self) -> tuple[list[Lost], Exception | None]:
        """Take note of what came of the inputs that are not held up.

        Returns:
            Those that the store lost, and what an input was refused with: what is behind that was
            not admitted either.
        """
        done = sorted(self._waiting.items(), key=lambda each: each[1][1].place_in_series)
        self._waiting.clear()
        lost: list[Lost] = []
        for future, (given, item) in done:
            error = future.exception()
            if error is None:
                self._admitted(given, item, future.result())
            elif isinstance(error, StoreError) and not isinstance(error, _FOR_GOOD):
                lost.append((given, item, error))
            elif isinstance(error, NotAdmittedError):
                pass  # the job drains: it is read again when the job is next run
            elif isinstance(error, EncodeError) and self._passes_over:
                self._pass_over(given, str(error))
            else:
                self._forget_behind(item.place_in_series)
                return lost, _as_exception(error)
        return lost, None

    def _forget_behind(self, place: int) -> None:
        for future in [f for f, (_, item) in self._held_up.items() if item.place_in_series > place]:
            del self._held_up[future]

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
        self.finished_before += self._count(admitted)
        self._share.add(item.key, self._runtime.job)
        self._bad_lines.mended(given)

    def _pass_over(self, given: SourceItem, reason: str) -> None:
        self._bad_lines.add(given, reason)
        self._progress.bad_lines += 1


async def _close(items: AsyncGenerator[SourceItem, None], bad: Exception | None) -> None:
    """End a source; what it fails by then does not hide what is wrong with an input."""
    try:
        await items.aclose()
    except Exception:
        if bad is None:
            raise


_FOR_GOOD = (StoreDataError, StoreFormatError)  # trying again would not help
_REFUSED = (InputError, EncodeError, StoreDataError)  # what was read before it is admitted


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else PerdureError(str(error))
