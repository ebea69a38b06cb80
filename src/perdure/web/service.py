"""Service: what the routes of one application share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, cast

from starlette.requests import Request

from perdure.engine.job import Job
from perdure.engine.served import ServedJob
from perdure.operate.hour import LastHour
from perdure.web.limits import Limits
from perdure.web.problems import Problem
from perdure.web.reading import Reader
from perdure.web.summaries import Summaries
from perdure.web.watch import Watch

__all__ = ["Service", "service_of"]


class Service:
    """A job, or a store that is only looked at, as an application shows it.

    Owns: the reader, the watch, the requests that wait for a run or a body. Lifecycle: `drain` when
    it is to stop, then `close`. On the job's event loop.

    Args:
        reader: the store.
        served: the job; None where the store is only looked at.
        limits: see `Limits`.

    Attributes:
        is_draining: it is to stop: nothing is begun any more.
    """

    def __init__(self, reader: Reader, served: ServedJob | None, limits: Limits) -> None:
        self.reader = reader
        self.served = served
        self.limits = limits
        self.watch = Watch(reader)
        self.summaries = Summaries()
        self.hour = LastHour()
        self.is_draining = False
        self._waiting: set[asyncio.Timeout] = set()
        self._receiving: dict[asyncio.Timeout, float] = {}  # with what is left to each at the end
        self._streams = 0
        if served is not None:
            served.before_close(self.close)

    def job(self) -> Job:
        """Return the job, for what changes something.

        Raises:
            Problem: there is none, or it is to stop.
        """
        served = self.served
        if served is None:
            raise Problem(
                403, "this service only shows a store: `perdure serve` runs a job and takes this"
            )
        self.check_goes_on()
        if (error := served.stopped_by) is not None:
            raise Problem(503, f"job {served.job.name!r} was stopped: {error}", retry_after=5)
        return served.job

    def check_goes_on(self) -> None:
        """Refuse what would begin now, once the service is to stop.

        Raises:
            Problem: it is.
        """
        if self.is_draining:
            raise Problem(503, "the service is about to stop: ask the next one", retry_after=1)

    async def writing_job(self) -> Job:
        """Return the job when its store writes.

        Raises:
            Problem: it does not, or see `job`.
        """
        job = self.job()
        if self.served is not None and not self.served.writes():
            raise Problem(
                503,
                f"the store of job {job.name!r} does not write now, so nothing was done: ask again",
                retry_after=2,
            )
        return job

    @contextlib.asynccontextmanager
    async def receiving(self, seconds: float, *, at_end: float = 0.0) -> AsyncIterator[None]:
        """Bound what a client has to send, by `at_end` seconds once the service is to stop.

        Raises:
            TimeoutError: it has not come.
        """
        async with asyncio.timeout(min(seconds, at_end) if self.is_draining else seconds) as scope:
            self._receiving[scope] = at_end
            try:
                yield
            finally:
                del self._receiving[scope]

    async def awaited(
        self, work: Coroutine[Any, Any, Any], left: Coroutine[Any, Any, None], seconds: float
    ) -> None:
        """Await `work` until the time is over, `left` returns, or the service is to end."""
        leaving = asyncio.ensure_future(left)
        try:
            async with asyncio.timeout(0 if self.is_draining else seconds) as scope:
                self._waiting.add(scope)
                leaving.add_done_callback(lambda _: _is_over(scope))
                await work
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(scope)
            leaving.cancel()

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count an event stream while it lasts.

        Raises:
            Problem: there are as many as may be.
        """
        if self._streams >= self.limits.streams:
            raise Problem(
                503, f"{self.limits.streams:,} event streams are open, as many as may be",
                retry_after=5,
            )  # fmt: skip
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def answer_waiting(self) -> None:
        """Have all requests that wait for a run answered as if their time were over."""
        for scope in list(self._waiting):
            _is_over(scope)

    def job_stopped(self) -> asyncio.Future[None]:
        """Return what fails with what stops the job before it is closed."""
        if self.served is None:
            return asyncio.get_running_loop().create_future()
        return self.served.stopped

    async def runs_ended(self) -> None:
        """Return when no run is at work; those that wait stay in the store."""
        if self.served is not None and self.served.stopped_by is None:
            self.served.job.drain_soon()
            await self.served.job.drain()

    async def drain(self) -> None:
        """Begin nothing more, and end the streams; requests that have come whole go on."""
        if not self.is_draining:
            self.is_draining = True
            for scope, seconds in list(self._receiving.items()):
                _is_over(scope, seconds)
        await self.watch.close()

    async def close(self) -> None:
        """Let go of the store, and of all who wait."""
        await self.drain()
        self.answer_waiting()
        await self.reader.close()


def _is_over(scope: asyncio.Timeout, within: float = 0.0) -> None:
    """Have the time of a scope be over now, or in so many seconds, if it is still in it."""
    end = asyncio.get_running_loop().time() + within
    with contextlib.suppress(RuntimeError):  # it has been left
        scope.reschedule(end if (then := scope.when()) is None else min(then, end))


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    return cast("Service", request.app.state.service)
