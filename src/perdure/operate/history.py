"""A view of a store for people: runs, and what each of them did."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec, TypeVar

from perdure.codec.codec import Codec
from perdure.codec.digests import digests, stored_ids_of_text
from perdure.codec.failure import failure_summary
from perdure.errors import PerdureError, RunNotFoundError
from perdure.operate.damaged_run import DAMAGE, damaged_output, damaged_run
from perdure.operate.run_detail import RunDetail, build, children_of, output_info
from perdure.run import (
    STATUS_BY_NUMBER,
    STATUS_NUMBERS,
    BadLine,
    Output,
    RunInfo,
    RunStatus,
    WaitInfo,
    names_two,
    run_id,
    run_number,
    wait_info,
    which_run,
)
from perdure.store.base import (
    ActionStateStore,
    Changes,
    JobRow,
    Page,
    RunHead,
    StoredOutput,
    StoreView,
    WaitRow,
)
from perdure.store.damage import damaged
from perdure.store.url import open_view

__all__ = ["ALL", "AsyncHistory", "Changes", "History", "JobRow", "all_of", "blocking"]

ALL = 1_000_000  # runs of one listing at most
OUTPUTS_AT_ONCE = 100  # each may be large

P = ParamSpec("P")
T = TypeVar("T")


class AsyncHistory:
    """Reads a store. Values are shown in readable form; no type is rebuilt and nothing is run.

    Lifecycle: `async with`, which opens and closes the view; on one event loop.

    Args:
        view: the store as seen from outside, not yet open.
    """

    def __init__(self, view: StoreView) -> None:
        self.view = view
        self.codec = Codec()

    @classmethod
    def at(cls, url: str) -> AsyncHistory:
        """Return the store that `url` names, not yet open.

        Raises:
            ConfigurationError: it names no store that another process could have written.
        """
        return cls(open_view(url))

    async def __aenter__(self) -> AsyncHistory:
        await self.view.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.view.close()

    async def jobs(self) -> list[JobRow]:
        """Return all jobs of the store by name, each in its present generation."""
        return [job for job in await all_of(self.view.jobs) if not job.later]

    async def is_owned(self, job: JobRow) -> bool:
        """Say whether a live process runs the job now."""
        return not job.later and await self.view.is_owned(job.name)

    async def choose_job(self, name: str | None) -> JobRow:
        """Return the job with this name; without a name, the only one there is.

        Raises:
            PerdureError: there is none, or there are several to choose from.
        """
        if name is not None:
            return await self.job(name)
        jobs = await self.jobs()
        if len(jobs) == 1:
            return jobs[0]
        if not jobs:
            raise PerdureError("the store has no jobs yet: `perdure run` makes one")
        known = ", ".join(repr(job.name) for job in jobs)
        raise PerdureError(f"the store has {len(jobs)} jobs: choose one with --job, of {known}")

    async def counts(self, job: JobRow) -> dict[str, int]:
        """Return the number of runs: completed, failed, cancelled, unfinished.

        "waiting" is how many of the unfinished ones wait for time or a signal.
        """
        counts = {"completed": 0, "failed": 0, "cancelled": 0, "unfinished": 0, "waiting": 0}
        for number, count in (await self.view.counts(job.job)).items():
            status = STATUS_BY_NUMBER[number]
            counts[status.value if status.is_final else "unfinished"] += count
            if status is RunStatus.WAITING:
                counts["waiting"] += count
        return counts

    async def job(self, name: str) -> JobRow:
        """Return the present generation of a job by its name, or any by `JOB@N`.

        Raises:
            PerdureError: the store does not have it.
        """
        job = await self.view.job(name)
        if job is None:
            known = ", ".join(repr(job.name) for job in await self.jobs()) or "none"
            raise PerdureError(f"the store has no job {name!r}; it has {known} (see --job)")
        return job

    async def runs(
        self,
        job: JobRow,
        *,
        status: RunStatus | None = None,
        key: Any = None,
        limit: int = 50,
    ) -> list[RunInfo]:
        """Return the newest runs, newest first."""
        return (await self.runs_page(job, status=status, key=key, limit=limit)).items

    async def runs_page(
        self,
        job: JobRow,
        *,
        status: RunStatus | None = None,
        key: Any = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[RunInfo]:
        """Return the newest runs, newest first, that come after those of another page."""
        number = STATUS_NUMBERS[status] if status else None
        # A key keeps the digest that it was first found under, whatever its type is called now.
        for each in digests(key) if key is not None else (None,):
            page = await self.view.runs(job.job, status=number, key=each, after=after, limit=limit)
            if page.items:
                break
        return Page(await self._infos(page.items), page.after)

    async def run(self, job: JobRow, id_: str) -> RunInfo:
        """Return one run.

        Args:
            job: the job.
            id_: the id that was given with its input, or its own.

        Raises:
            RunNotFoundError: there is none with this id.
            PerdureError: it names two: one by what was given with it, and another by its own id.
        """
        number = await self._number(job, id_)
        head = (await self.view.heads([number])).get(number)
        if head is None:
            raise self._not_found(job, id_)
        return (await self._infos([head]))[0]

    async def run_with_outputs(self, job: JobRow, id_: str) -> RunInfo:
        """Return one run, as `run` does, and its outputs with it."""
        info = await self.run(job, id_)
        stored = await all_of(functools.partial(self.view.outputs, job.job, run=info.number))
        try:
            outputs = tuple(output_info(output, self.codec) for output in stored)
        except DAMAGE as error:
            raise damaged_run(self.view.url, self.codec, info, (), error, stored) from error
        return dataclasses.replace(info, outputs=outputs)

    async def outputs_page(
        self, job: JobRow, *, run: int | None = None, after: str = "", limit: int = OUTPUTS_AT_ONCE
    ) -> Page[Output]:
        """Return recorded outputs of a job, or of a run, in the order of their commits.

        Their values need no code of the agent: an object is a dict of its fields, and an enum the
        name of its member.
        """
        page = await self.view.outputs(job.job, run=run, after=after, limit=limit)
        return Page([self._output(stored) for stored in page.items], page.after)

    def _output(self, stored: StoredOutput) -> Output:
        read = self.codec.fields
        try:
            return Output(read(stored.value), read(stored.key), run_id(stored.run), stored.id)
        except DAMAGE as error:
            raise damaged_output(self.view.url, stored, error) from error

    async def _number(self, job: JobRow, id_: str) -> int:
        """Return the number of the run that an id names."""
        stored = stored_ids_of_text(id_)
        found = await self.view.runs_of_inputs(job.job, stored)
        given, own = which_run(job.job, id_, map(found.get, stored))
        if given is not None and own is not None and given != own:
            if await self.view.heads([own]):
                raise names_two(id_, given, own)
            return given
        number = given if given is not None else own
        if number is None:
            raise self._not_found(job, id_)
        return number

    @staticmethod
    def _not_found(job: JobRow, id_: str) -> RunNotFoundError:
        return RunNotFoundError(
            f"job {job.title!r} has no run {id_!r}: give the id of its input, or its own as"
            " `perdure runs` lists it, such as r1f"
        )

    async def infos(self, numbers: Iterable[int]) -> dict[int, RunInfo]:
        """Return these runs, by number, as a listing has them."""
        heads = await self.view.heads(list(numbers))
        listed = await self._infos([_as_listed(head) for head in heads.values()])
        return {info.number: info for info in listed}

    async def waits(self, job: JobRow, *, limit: int = ALL) -> list[WaitInfo]:
        """Return what the runs of a job wait for from outside, those that wait longest first."""
        return (await self.waits_and_count(job, limit=limit))[0]

    async def waits_and_count(self, job: JobRow, *, limit: int) -> tuple[list[WaitInfo], int]:
        """Return what `waits` does, and how many there are in all."""
        found = await all_of(functools.partial(self.view.waits, job.job))
        rows = sorted(found, key=lambda row: row.since)[:limit]
        heads = await self.view.heads({row.run for row in rows})
        given = await self._input_ids(heads.values())
        keys = {number: self._head(head).key for number, head in heads.items()}
        waits = [wait_info(row, keys.get(row.run), given.get(row.run)) for row in rows]
        return waits, len(found)

    async def _infos(self, heads: Sequence[RunHead]) -> list[RunInfo]:
        """Return runs as people see them, with what they wait for."""
        given = await self._input_ids(heads)
        infos = [self._head(head, given.get(head.row.run)) for head in heads]
        unfinished = [info.number for info in infos if not info.status.is_final]
        waits: dict[int, list[WaitRow]] = {}
        for row in await self.view.waits_of(unfinished) if unfinished else ():
            waits.setdefault(row.run, []).append(row)
        return [
            dataclasses.replace(
                info, waits=tuple(wait_info(row, info.key, info.input_id) for row in found)
            )
            if (found := waits.get(info.number))
            else info
            for info in infos
        ]

    async def _input_ids(self, heads: Collection[RunHead]) -> dict[int, str]:
        """Return the ids that were given with the inputs of runs; others have a place in a source.

        A head has it as text, which may be its place as well: the store knows.
        """
        ids = {head.row.run: stored_ids_of_text(head.row.label) for head in heads if head.row.label}
        if not ids:
            return {}
        asked = {each for stored in ids.values() for each in stored}
        found = await self.view.runs_of_inputs(next(iter(heads)).row.job, asked)
        return {
            head.row.run: head.row.label
            for head in heads
            if any(found.get(each) == head.row.run for each in ids.get(head.row.run, ()))
        }

    async def bad_lines(self, job: JobRow, *, limit: int = 50) -> list[BadLine]:
        """Return the inputs that the job's sources passed over, by source and place."""
        page = await self.view.bad_lines(job.job, limit=limit)
        return [
            BadLine(
                source=row.source, position=row.position, line=row.line or None,
                reason=row.reason, at=row.at,
            )
            for row in page.items
        ]  # fmt: skip

    async def count_bad_lines(self, job: JobRow) -> int:
        """Return the number of inputs that the job's sources passed over."""
        return await self.view.count_bad_lines(job.job)

    async def detail(self, job: JobRow, id_: str) -> RunDetail:
        """Return what a run did.

        Raises:
            PerdureError: there is none with this id.
        """
        info = await self.run(job, id_)
        number = info.number
        records = await self.view.records(number)
        try:
            ids = [run_number(job.job, child) for child in children_of(records)]
        except (*DAMAGE, PerdureError) as error:
            raise damaged_run(self.view.url, self.codec, info, records, error) from error
        children = await self.infos(ids)
        commands = await all_of(functools.partial(self.view.commands, job.job, run=number))
        outputs = await all_of(functools.partial(self.view.outputs, job.job, run=number))
        try:
            return build(
                info,
                records,
                outputs,
                self.codec,
                children={child.id: child for child in children.values()},
                commands=[(command.command, command.payload) for command in commands],
            )
        except DAMAGE as error:
            rows = (records, error, outputs, commands)
            raise damaged_run(self.view.url, self.codec, info, *rows) from error

    async def journal_detail(self, info: RunInfo) -> RunDetail:
        """Return what a run did, by its journal alone: without outputs, children and commands."""
        records = await self.view.records(info.number)
        try:
            return build(info, records, (), self.codec)
        except DAMAGE as error:
            raise damaged_run(self.view.url, self.codec, info, records, error) from error

    def _head(self, head: RunHead, input_id: str | None = None) -> RunInfo:
        try:
            return self._info(head, input_id)
        except DAMAGE as error:
            place = f"table run, run {run_id(head.row.run)}, its key or note"
            raise damaged(self.view.url, place, error) from error

    def _info(self, head: RunHead, input_id: str | None) -> RunInfo:
        row, codec = head.row, self.codec
        status = STATUS_BY_NUMBER[row.status]
        return RunInfo(
            id=run_id(row.run),
            number=row.run,
            key=codec.to_json(head.key),
            sequence=row.sequence,
            label=row.label,
            status=status,
            attempts=row.attempt,
            error=failure_summary(codec, row.error) if row.error else None,
            input=codec.to_json(row.value),
            admitted_at=row.admitted_at,
            finished_at=row.finished_at and max(row.finished_at, row.admitted_at),
            due=row.due,
            # When it joins its key's queue it gets a new place there.
            is_delayed=status is RunStatus.WAITING and row.due > 0 and row.place == row.run,
            activity=codec.to_json(head.note) if head.note is not None else None,
            input_id=input_id,
        )


def _as_listed(head: RunHead) -> RunHead:
    is_final = STATUS_BY_NUMBER[head.row.status].is_final
    return head._replace(note=None) if is_final else head


async def all_of(page: Callable[..., Coroutine[Any, Any, Page[T]]]) -> list[T]:
    """Return a whole list.

    Args:
        page: returns the part of it behind `after`, the cursor of the part before.
    """
    items, after = await page(after="")
    while after:
        more, after = await page(after=after)
        items += more
    return items


def blocking(
    function: Callable[Concatenate[AsyncHistory, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[History, P], T]:
    """Return a coroutine function over an `AsyncHistory` as a plain one over a `History`."""

    @functools.wraps(function)
    def call(history: History, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return history.wait(function(history.awaited, *args, **kwargs))

    return call


class History:
    """`AsyncHistory` for those who cannot await: it blocks, on any thread, event loop or not.

    Owns: an event loop, on a thread of its own. Lifecycle: made open; `close`, or use `with`.

    Args:
        view: the store as seen from outside, not yet open.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """

    def __init__(self, view: StoreView) -> None:
        self.awaited = AsyncHistory(view)
        self._loop, self._ended = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="perdure-history", daemon=True)
        self._thread.start()
        try:
            self.wait(view.open())
        except BaseException:
            self._end()
            raise

    @classmethod
    def open(cls, url: str) -> History:
        """Open the store that `url` names, beside its owner if there is one; use with `with`.

        Raises:
            ConfigurationError: it names no store that another process could have written.
            StoreError: there is none, or it cannot be read.
        """
        return cls(open_view(url))

    @classmethod
    def of(cls, store: ActionStateStore) -> History:
        """Open a store of this process, whether it runs a job or not; use with `with`.

        Raises:
            StoreError: nothing has run in it yet, or it cannot be read.
        """
        return cls(store.view())

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, in which nothing changes."""
        try:
            self.wait(self.awaited.view.close())
        finally:
            self._end()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine over `awaited` returns."""
        return self.begin(work).result()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine over `awaited` on the thread of this; return what it will return."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _serve(self) -> None:
        self._loop.run_until_complete(self._until_ended())
        self._loop.close()

    async def _until_ended(self) -> None:
        await self._ended.wait()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:  # somebody may be waiting for it
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    @property
    def version(self) -> int:
        """The version of the store's schema."""
        return self.awaited.view.version

    jobs = blocking(AsyncHistory.jobs)
    is_owned = blocking(AsyncHistory.is_owned)
    choose_job = blocking(AsyncHistory.choose_job)
    counts = blocking(AsyncHistory.counts)
    job = blocking(AsyncHistory.job)
    runs = blocking(AsyncHistory.runs)
    runs_page = blocking(AsyncHistory.runs_page)
    run = blocking(AsyncHistory.run)
    run_with_outputs = blocking(AsyncHistory.run_with_outputs)
    outputs_page = blocking(AsyncHistory.outputs_page)
    infos = blocking(AsyncHistory.infos)
    detail = blocking(AsyncHistory.detail)
    waits = blocking(AsyncHistory.waits)
    bad_lines = blocking(AsyncHistory.bad_lines)
    count_bad_lines = blocking(AsyncHistory.count_bad_lines)
