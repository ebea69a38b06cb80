"""ActionLoop: the event loop of one action, advanced one settlement at a time.

It has a ready queue, a timer heap and nothing else: no sockets, no threads, no clock of its own.
Between two settlements an action can only compute, so its whole behaviour is a function of the
order in which its settlements arrive, which the journal keeps.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any, NoReturn, TypeVar

from perdure.call import ActionFuture
from perdure.checks import LONGEST_SECONDS
from perdure.errors import ActionLoopError, SpinningActionError
from perdure.executor import forks
from perdure.executor.running import TurnLoop, running_loop
from perdure.log_lines import Place, place_fields
from perdure.printable import printable_logger

T = TypeVar("T")

SPIN_LIMIT = 100_000
_MASK = (1 << 61) - 2
_STEP = 0x9E3779B97F4A7C15  # the odd step of splitmix64: spreads a counter over all bits

logger = printable_logger("perdure.action")


class ActionTask(asyncio.Task[T]):
    """A task whose hash is the same in every process (see `ActionFuture`)."""

    def __init__(self, coro: Any, *, identity: int, **kwargs: Any) -> None:
        # Before super(): the base class puts the new task into a set.
        self._identity = identity
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return self._identity


class ActionHandle(asyncio.Handle):
    """A callback that is ready, made without what only a loop in debug mode needs."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None


class ActionLoop(TurnLoop):
    """The event loop of one action.

    Owns: the ready queue, the timer heap, the action's tasks and async generators.
    Lifecycle: made when the action starts; `run_ready` runs callbacks in a turn; closed when the
    action has ended or its run was taken down. Only its owner enters turns, on one thread.

    Attributes:
        closed: everything was dropped, and nothing can be scheduled.
        timers: a heap of those that are armed, cancelled ones included, each with its turn.
        turn: number of the settlement whose turn is the newest; 0 for the first turn.
        came_due: the newest turn in which timers came due, and the first in which one of these was
            set; before any did a turn that never is.

    Args:
        seed: a digest of the action's identity; hashes of futures and tasks derive from it.
        name: for messages.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.seed = seed
        self._name = name
        self._created = 0
        self._now = 0  # ns since the epoch: the time of the last settlement
        self._ready: list[asyncio.Handle | None] = []  # None: it has run
        self.timers: list[tuple[float, int, asyncio.TimerHandle, int]] = []
        self.turn = 0
        self.came_due = (-1, 0)
        self.closed = False
        # Gives an event that is made in a turn its id; None where that is not the runtime's.
        self.new_event_id: Callable[[], tuple[str, object]] | None = None
        # What the action's own code is given, for libraries that it cannot be handed through.
        self.action_context: object = None
        self.place: Place | None = None  # of what its code logs
        self.is_sequential = False  # the action's code runs outside of its turns (G19)
        self.violation: ActionLoopError | None = None
        self.on_violation: Callable[[], None] | None = None  # told on the thread that broke in
        self.tasks: list[ActionTask[Any]] = []
        self.generators: list[weakref.ref[AsyncGenerator[Any, Any]]] = []

    # Identity

    def next_identity(self) -> int:
        """Return the hash of the next future or task, in creation order."""
        self._created += 1
        return (self.seed + self._created * _STEP) & _MASK

    @property
    def log_fields(self) -> dict[str, Any]:
        """What a record about the action says beside its message."""
        return {} if self.place is None else place_fields(*self.place)

    # Turns: while one runs, this loop is the thread's running loop. That one fact decides who may
    # schedule on it, so a thread or a task of the host loop is refused without any lock.

    @property
    def in_turn(self) -> bool:
        """True for code that runs inside a turn of this loop."""
        return running_loop() is self

    def advance(self, at: int) -> None:
        """Set the time to `at` (ns since the epoch), never backwards; due timers become ready."""
        if at > self._now:
            self._now = at
        if not self.timers:
            return
        now = self.time()
        while self.timers and self.timers[0][0] <= now:
            _, _, handle, set_in = heapq.heappop(self.timers)
            if not handle.cancelled():
                self._ready.append(handle)
                if self.came_due[0] == self.turn:
                    set_in = min(set_in, self.came_due[1])
                self.came_due = self.turn, set_in

    def run_ready(self) -> int:
        """Run callbacks until none is ready; return how many these were.

        Raises:
            SpinningActionError: the action never becomes idle.
        """
        ready, done, process = self._ready, 0, forks.process
        try:
            while done < len(ready):
                if done == SPIN_LIMIT:
                    raise SpinningActionError(
                        f"{self._name} ran {SPIN_LIMIT:,} callbacks without waiting for anything:"
                        " it polls (such as `while not call.done(): await asyncio.sleep(0)`); await"
                        " the call itself"
                    )
                handle: Any = ready[done]  # what runs it is private to asyncio
                ready[done] = None  # which lets go of it at once
                done += 1
                if not handle._cancelled:
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        if process is not forks.process:  # where this loop refuses everything
                            forks.end_child()
                        message = f"Exception in callback {handle._callback!r}"
                        self.call_exception_handler({"message": message, "exception": error})
        finally:
            del ready[:done]
        return done

    def next_deadline(self) -> int | None:
        """Return the time of the earliest live timer (ns since the epoch), or None."""
        while self.timers and self.timers[0][2].cancelled():
            heapq.heappop(self.timers)
        # Rounded up by more than a float's step here (238 ns): at its own firing a timer is due.
        return int(self.timers[0][0] * 1e9) + 512 if self.timers else None

    # What asyncio asks of a loop

    def time(self) -> float:
        """Return the time of the last settlement, in seconds since the epoch."""
        return self._now / 1e9

    @property
    def now(self) -> int:
        """The time of the last settlement, in ns since the epoch."""
        return self._now

    # The overrides take what asyncio passes; typeshed's variadic generics cannot be repeated here.
    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        if running_loop() is not self:
            self._refuse_outside()
        handle = ActionHandle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        if running_loop() is not self and _is_worker_of_anyio():
            self._violated(
                f"{self._name}: anyio.to_thread was used in the action: its function ran on a"
                " thread, and what it returned is input which the journal does not hold. Call the"
                " function in a durable call instead: ctx.durable_execute_async(function, ...)"
            )
            # It ends anyio's thread, which nothing else would end, without a traceback.
            raise SystemExit
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        if running_loop() is not self:
            self._refuse_outside()
        return self.set_timer(when, callback, *args, context=context)

    def set_timer(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Call `callback` in the first turn at or after `when`; for the loop's owner.

        What is further away than `LONGEST_SECONDS` comes then, which is never, as with asyncio.

        Raises:
            ValueError: `when` is no number.
        """
        furthest = self.time() + LONGEST_SECONDS
        if not 0.0 <= when <= furthest:
            if math.isnan(when):
                raise ValueError(f"{self._name}: a timer is set for {when!r}, which is no time")
            when = max(0.0, min(when, furthest))
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._created += 1
        heapq.heappush(self.timers, (when, self._created, handle, self.turn))
        return handle

    # Called by asyncio's TimerHandle.
    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by asyncio; a cancelled timer is passed over when it comes up."""

    def create_future(self) -> ActionFuture[Any]:
        return ActionFuture(self, self.next_identity())

    def create_task(
        self, coro: Any, *, name: object = None, context: contextvars.Context | None = None
    ) -> ActionTask[Any]:
        if running_loop() is not self:
            self._refuse_outside()
        identity = self.next_identity()
        # asyncio's own default name counts over the whole process, so it differs after a crash.
        label = f"{self._name}#{self._created}" if name is None else str(name)
        task: ActionTask[Any] = ActionTask(
            coro, identity=identity, loop=self, name=label, context=context
        )
        self.tasks.append(task)
        if len(self.tasks) > 64 and len(self.tasks) % 64 == 0:
            self.tasks = [task for task in self.tasks if not task.done()]
        return task

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        pass

    def is_running(self) -> bool:
        return self.in_turn

    def is_closed(self) -> bool:
        return self.closed

    def close(self) -> None:
        """Drop everything that is scheduled; later scheduling is refused."""
        self.closed = True
        self.on_violation = self.new_event_id = self.action_context = None
        self._ready.clear()
        self.timers.clear()
        for task in self.tasks:
            if not task.done():
                return
        self.tasks.clear()

    def get_exception_handler(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.closed:
            return
        task = context.get("task") or context.get("future")
        name = task.get_name() if isinstance(task, asyncio.Task) else self._name
        error = context.get("exception")
        logger.error("%s: %s", name, context.get("message"), exc_info=error, extra=self.log_fields)

    # Async generators

    def first_iteration(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Hook: an async generator of the action was iterated for the first time."""
        self.generators.append(weakref.ref(generator))

    def finalize_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Hook: a generator lost its last reference before it was exhausted."""
        if self.in_turn and not self.closed:
            self.create_task(generator.aclose(), name=f"{self._name}:aclose")

    async def shutdown_asyncgens(self) -> None:
        """Close the generators that are open now, in creation order; each is asked once.

        One that goes on though it was closed is left so, and what it raises is passed on; those
        behind it are still open then.
        """
        left = [each for each in self.generators if each() is not None]
        self.generators = []
        try:
            while left:
                generator = left.pop(0)()
                if generator is not None:
                    await generator.aclose()
        finally:
            self.generators[:0] = left

    # Refusals

    def _refuse_outside(self) -> NoReturn:
        # Kept, since whoever set the action's Event or future has changed it already: the action
        # must not go on with a state that the journal cannot give it back.
        raise self._violated(
            f"{self._name}: its event loop was used from outside the action (by a callable, a"
            " thread or another task); that would be input which the journal does not hold. Return"
            " the value from a durable call instead"
        )

    def _violated(self, message: str) -> ActionLoopError:
        error = ActionLoopError(message)
        if not self.closed:  # else it is said already why the action does not go on
            self.violation = error
            if self.on_violation is not None:
                self.on_violation()
        return error


def _is_worker_of_anyio() -> bool:
    return type(threading.current_thread()).__module__.startswith("anyio.")


def _refusing(method: str) -> Callable[..., NoReturn]:
    def refuse(self: ActionLoop, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise ActionLoopError(
            f"{self._name}: loop.{method}() is I/O, which an action may not do itself (it would not"
            " be the same after a crash): do it inside ctx.durable_execute_async(...)"
        )

    refuse.__name__ = method
    refuse.__doc__ = "Refused: I/O belongs in durable calls."
    return refuse


for _method in (
    "run_forever", "run_until_complete", "stop", "run_in_executor", "set_default_executor",
    "getaddrinfo", "getnameinfo", "create_connection", "create_server",
    "create_unix_connection", "create_unix_server", "create_datagram_endpoint",
    "connect_accepted_socket", "start_tls", "sendfile", "sock_recv", "sock_recv_into",
    "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect",
    "sock_accept", "sock_sendfile", "connect_read_pipe", "connect_write_pipe",
    "subprocess_shell", "subprocess_exec", "add_reader", "remove_reader", "add_writer",
    "remove_writer", "add_signal_handler", "remove_signal_handler", "shutdown_default_executor",
    "set_task_factory", "set_exception_handler",
):  # fmt: skip
    setattr(ActionLoop, _method, _refusing(_method))
