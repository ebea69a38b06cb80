"""The sequential fallback (G19): plain actions without continuations.

A plain action runs on one thread of its own, one action at a time, and each of its calls is over
before the next begins. The host loop never blocks, and the journal is the same.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

from perdure.call import ActionFuture, DurableCall
from perdure.executor import forks, running
from perdure.executor.continuation import (
    ActionMain,
    ContinuationContext,
    T,
    settle_main,
)
from perdure.executor.hub import DirectHub, TurnHub
from perdure.executor.threads import ThreadStarter


class ActionDropped(BaseException):
    """Ends the thread of an action that was taken down; no `except Exception` may stop it."""


class SequentialLane:
    """One daemon thread on which plain actions run, one at a time.

    Where the system refuses it, what is submitted waits until it is given. Lifecycle: on the host
    loop's thread, until `close`.
    """

    def __init__(self, host: asyncio.AbstractEventLoop) -> None:
        self.host = host
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._starter = ThreadStarter(host, self._start)
        self._started = False
        self._submitted = self._done = 0

    @property
    def is_busy(self) -> bool:
        """True unless what is submitted now is begun at once."""
        return self._submitted != self._done

    @property
    def is_refused(self) -> bool:
        """True while what is submitted waits for the thread itself."""
        return self._starter.refused

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` on the lane after what was submitted before."""
        self._submitted += 1
        self._queue.put(work)
        self._start()

    def _start(self) -> None:
        if self._started:
            return  # since it was refused, for another that was submitted
        self._started = self._starter.start(
            self._work,
            "perdure-action",
            refusal="the system refuses the thread for plain actions (%s), which wait for it: allow"
            " the process more threads",
        )

    def close(self) -> None:
        """Let the thread end when it is idle."""
        self._starter.close()
        self._queue.put(None)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            self._done += 1  # here alone
            del work  # a thread at rest holds on to nothing of what it has done


class ThreadedContinuation(ContinuationContext):
    """A plain action on the lane's thread; a call is settled before its maker goes on.

    Owns besides: what its thread waits for. Lifecycle: `on_host`, `make_call` and `park` are called
    on that thread, all else on the host loop's.
    """

    is_sequential = True

    def __init__(
        self, name: str, seed: int, hub: TurnHub | DirectHub, lane: SequentialLane
    ) -> None:
        super().__init__(name, seed, hub)
        self.parker = self
        self.loop.is_sequential = True
        self._lane = lane
        self._process = forks.process
        self._progress = threading.Condition()
        self._closed = False
        self._cancelling = False  # at the next call
        self._interrupted = False  # at the expected one
        self._expected: DurableCall[Any] | None = None

    def _begin(self, main: ActionMain) -> ActionFuture[Any]:
        done = self.loop.create_future()
        self.is_queued = self._lane.is_busy
        self._lane.submit(lambda: self._run(main, done))
        if self._lane.is_refused:
            self.is_queued = True
        return done

    def _take_turn(self) -> None:
        self.is_queued = False
        if self.follower is not None and not self._closed:
            self.follower.code_begins()

    def _run(self, main: ActionMain, done: ActionFuture[Any]) -> None:
        if self._closed:
            return
        if self.is_queued:
            try:
                self.on_host(self._take_turn)
            except ActionDropped:
                return
        value, error = None, None
        # The thread's running loop is the action's, so that its context works here and only here.
        before = running.enter(self.loop)
        try:
            value = self._variables().run(main)
        except ActionDropped:
            return
        except BaseException as raised:
            error = raised
        finally:
            running.leave(before)

        def end() -> None:
            if self._closed:
                return
            broken: BaseException | None = None
            try:
                self.turn(self.loop.now, settle_main, done, value, error, self.name)
            except BaseException as raised:
                broken = raised
            if self.follower is not None:
                self.follower.code_ended(broken)

        try:
            self._lane.host.call_soon_threadsafe(end)
        except RuntimeError:
            pass  # the host loop is closed: a later process takes the action up

    def on_host(self, work: Callable[[], T]) -> T:
        """Run `work` on the host loop and return what it returns."""
        if self._process is not forks.process:  # the loop's thread is not here
            forks.end_child()
        result: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def perform() -> None:
            try:
                result.put((work(), None))
            except BaseException as error:
                result.put((None, error))

        try:
            self._lane.host.call_soon_threadsafe(perform)
        except RuntimeError:
            raise ActionDropped from None
        while True:
            try:
                value, error = result.get(timeout=1.0)
                break
            except queue.Empty:
                if self._closed:
                    raise ActionDropped from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None is T where there is no error

    def make_call(self, make: Callable[..., DurableCall[Any]], *given: Any) -> DurableCall[Any]:
        """Return the call that `make(*given)` makes on the host loop, when it is settled."""

        def work() -> DurableCall[Any]:
            call = make(*given)
            self._expect(call)
            return call

        call = self.on_host(work)
        self.park([call], asyncio.FIRST_COMPLETED, None)
        return call

    def _expect(self, call: DurableCall[Any]) -> None:
        self._expected = call
        if self._cancelling:
            self.cancel()
        if self.follower is not None:
            self.follower.call_made(call)

    def park(self, calls: list[ActionFuture[Any]], return_when: str, timeout: float | None) -> None:
        """Wait on the lane's thread until all `calls` are settled: they run one after another."""
        with self._progress:
            self._progress.wait_for(
                lambda: self._closed or self._interrupted or all(call.done() for call in calls)
            )
        if self._closed:
            raise ActionDropped
        if self._interrupted:
            self._interrupted = False
            raise asyncio.CancelledError

    @property
    def is_suspended(self) -> bool:
        """True while the thread waits, or is about to wait, for a call."""
        return self._expected is not None and not self._expected.done()

    def turn(self, at: int, settle: Callable[..., None], *given: Any) -> None:
        """Deliver one settlement and wake the thread."""
        super().turn(at, settle, *given)
        with self._progress:
            self._progress.notify_all()

    def cancel(self) -> None:
        """Settle hook: the thread raises CancelledError from the call it waits for, or the next.

        Decided here and not by the thread, so that a replay hits the same call.
        """
        self._cancelling = not self.is_suspended
        if self._expected is not None and not self._cancelling:
            self._expected.cancel()
            self._interrupted = True

    def _drop(self) -> None:
        super()._drop()
        with self._progress:
            self._closed = True
            self._progress.notify_all()
