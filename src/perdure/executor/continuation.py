"""ContinuationContext: one action, suspended and continued.

A coroutine action is a task on its `ActionLoop`. A plain `def` action is a greenlet that parks in
`call.result()` and is resumed by the turn in which the call settles: the continuation of the JDK,
in Python. The synchronous `ctx.durable_execute` of a coroutine action parks the turn itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from perdure.call import ActionFuture, DurableCall, Parker, park_for_all
from perdure.errors import AgentDefinitionError, ContextAccessError, SpinningActionError
from perdure.executor.hub import DirectHub, TurnHub, leave
from perdure.executor.loop import SPIN_LIMIT, ActionLoop, ActionTask
from perdure.log_lines import PLACE

try:
    import greenlet
except ImportError:  # no build for this platform: the fallback runs plain actions on a thread
    greenlet = None  # type: ignore[assignment]


def is_continuation_supported() -> bool:
    """Say whether plain `def` actions can be suspended here, so that their calls overlap.

    Without it they run on a thread, one at a time (the sequential fallback), and coroutine actions
    lack the synchronous `ctx.durable_execute` alone. The option `continuations: off` chooses the
    fallback too, and leaves coroutine actions as they are.
    """
    return greenlet is not None


T = TypeVar("T")


class Settlement(Protocol):
    """What a turn delivers, at a time in ns since the epoch."""

    @property
    def at(self) -> int: ...


S = TypeVar("S", bound=Settlement)


class Follower(Protocol):
    """Who is told, on the host loop, what an action does outside its turns, on its own thread."""

    def code_begins(self) -> None:
        """The action's function, which has waited for other actions, is about to begin."""

    def call_made(self, call: DurableCall[Any]) -> None:
        """The action has made a call and waits for it."""

    def code_ended(self, broken: BaseException | None) -> None:
        """The action's function has returned, and the continuation knows.

        Args:
            broken: what the turn raised in which it was told, if any.
        """


class ActionMain(Protocol):
    """What a continuation runs: the action, with its event and context bound."""

    def __call__(self) -> Any: ...


class ContinuationContext:
    """One action that is suspended and continued on an event loop of its own.

    Owns: the `ActionLoop`, the action's main task, a turn that parked, the clean end of them (G24).
    Lifecycle: `start` runs the first turn; `turn` delivers one settlement and runs one turn;
    `finished` turns True when the action and all that it started have ended; `close` drops an
    action that has not. All of it on the host loop's thread.

    Args:
        name: for messages and task names.
        seed: a digest of the action's identity.
        hub: where turns run.

    Attributes:
        parker: what `call.result()` waits with; None where it does not wait.
        is_sequential: each call of the action is over before the next begins, and no other such
            action runs meanwhile (G19).
        is_queued: its function has not begun, since others run.
        follower: told what the action does outside its turns.
    """

    parker: Parker | None = None
    is_sequential = False
    is_queued = False
    follower: Follower | None = None

    def __init__(self, name: str, seed: int, hub: TurnHub | DirectHub) -> None:
        # Abstract for mypy only: what an action may not do is set on the class in a loop.
        self.loop = ActionLoop(seed, name)  # type: ignore[abstract]
        self.name = name
        self.finished = False
        self.error: BaseException | None = None
        self._hub = hub
        self._frozen: greenlet.greenlet | None = None
        self._frozen_on: ActionFuture[Any] | None = None
        self._frozen_in: asyncio.Task[Any] | None = None
        self._main: ActionTask[Any] | ActionFuture[Any] | None = None
        self._cleaning: list[ActionTask[Any]] | None = None
        self._dropped_on: int | None = None  # the thread, while `close` is at it

    def start(self, at: int, main: ActionMain) -> None:
        """Run the first turn, at time `at` (ns since the epoch)."""
        self.loop.advance(at)  # first: without continuations its code may run before this returns
        self.turn(at, self._begin_main, main)

    def _begin_main(self, main: ActionMain) -> None:
        self._main = self._begin(main)

    def _begin(self, main: ActionMain) -> ActionTask[Any] | ActionFuture[Any]:
        # Not the context of whoever caused this turn: it may be another action's.
        return self.loop.create_task(main(), name=self.name, context=self._variables())

    def _variables(self) -> contextvars.Context:
        """Return the context of the action's own code."""
        variables = self._hub.variables.copy()
        variables.run(PLACE.set, self.loop.place)
        return variables

    def turn(self, at: int, settle: Callable[..., None], *given: Any) -> None:
        """Deliver one settlement at time `at` and run the action until it waits again.

        Args:
            at: ns since the epoch.
            settle: delivers it, in the turn.
            *given: what `settle` is called with.
        """
        if self.finished or self.loop.closed:
            return
        self._hub.run(self.loop, self._turn, at, settle, given)
        if self._frozen_on is not None and self._frozen_on.done():
            self._thaw()

    def turns(
        self, settlements: deque[S], settle: Callable[[S], None], goes_on: Callable[[], bool]
    ) -> None:
        """Deliver settlements one by one, with a turn each, as long as `goes_on` says so.

        Args:
            settlements: what is delivered, and taken from there; where a turn parks, whoever
                delivers the next one goes on with these.
            settle: delivers one, in its turn.
            goes_on: says after a turn whether nothing is to be seen to before the next.
        """
        if self.finished or self.loop.closed:
            return
        self._hub.run(self.loop, self._turns, settlements, settle, goes_on)
        if self._frozen_on is not None and self._frozen_on.done():
            self._thaw()

    def _turns(
        self, settlements: deque[S], settle: Callable[[S], None], goes_on: Callable[[], bool]
    ) -> None:
        while settlements:
            settlement = settlements.popleft()
            self._turn(settlement.at, settle, (settlement,))
            if self._frozen is not None or not goes_on():
                return

    def _thaw(self) -> None:
        assert isinstance(self._hub, TurnHub)
        assert self._frozen is not None
        frozen, self._frozen, self._frozen_on, self._frozen_in = self._frozen, None, None, None
        self._hub.resume(self.loop, frozen)

    def _turn(self, at: int, settle: Callable[..., None], given: tuple[Any, ...]) -> None:
        settle(*given)
        loop = self.loop
        loop.advance(at)
        # A parked turn is still running its callbacks: what is due waits in the ready queue.
        if self._frozen is None:
            loop.run_ready()
            if self._main is not None and self._main.done():
                self._go_to_end()

    @property
    def is_suspended(self) -> bool:
        """True when the action's own code does not run; between turns, so always here."""
        return True

    def on_host(self, work: Callable[[], T]) -> T:
        """Run `work`, which the action's code asks for, on the host loop's thread."""
        return work()

    def make_call(self, make: Callable[..., DurableCall[Any]], *given: Any) -> DurableCall[Any]:
        """Return the call that `make(*given)` makes for the action's code."""
        return make(*given)

    def suspend(self, call: DurableCall[Any]) -> None:
        """Suspend the action's code until `call`, which is not settled, is."""
        if not isinstance(self._hub, TurnHub):
            raise ContextAccessError(
                f"{self.name}: ctx.durable_execute in an `async def` action needs greenlet, which"
                " is missing here: use `await ctx.durable_execute_async(...)`"
            )
        self._frozen, self._frozen_on = greenlet.getcurrent(), call
        self._frozen_in = asyncio.current_task()
        self._hub.park()

    def cancel(self) -> None:
        """Settle hook: ask the action to stop, as `asyncio.Task.cancel` does.

        A turn that parked goes on with its call cancelled: nothing else of the action can run
        before it does.
        """
        if self._main is None or self._main.done():
            return
        if self._frozen_on is None or self._frozen_in is not self._main:
            self._main.cancel()  # else it would be asked twice: there, and at its next await
        if self._frozen_on is not None:
            self._frozen_on.cancel()

    def fail(self, error: BaseException) -> None:
        """End the action with `error` now, without its clean end: it broke the rules."""
        self.close()  # its code may end in there, of being left
        self.error = error
        self.finished = True

    def close(self) -> None:
        """Drop an action that has not ended; its code sees it as a closed coroutine."""
        if self.loop.closed:
            return
        self.loop.close()
        self._dropped_on = threading.get_ident()
        self._hub.run(None, self._drop)
        self._dropped_on = None
        self.loop.tasks.clear()

    @property
    def is_leaving(self) -> bool:
        """True for the action's own code as `close` has it leave through its finally blocks."""
        return self._dropped_on == threading.get_ident()

    def _drop(self) -> None:
        frozen, self._frozen = self._frozen, None
        if frozen is not None:
            leave(frozen)
        for task in self.loop.tasks:
            if not task.done():
                # Neither logged as forgotten nor left to the garbage collector's thread.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                try:
                    _close(task.get_coro())
                except Exception:
                    pass  # a finally block awaited or asked for what a closed action cannot have

    # The turn

    def _go_to_end(self) -> None:
        ran = 0
        while not self.finished and self._main is not None and self._main.done():
            if not self._clean_up():
                return
            ran += self.loop.run_ready()
            if ran > SPIN_LIMIT:  # over all steps: in each one it may do little
                raise SpinningActionError(self._why_it_never_ends())

    def _why_it_never_ends(self) -> str:
        assert self._cleaning
        newest = self._cleaning[-1]
        coroutine = newest.get_coro()
        return (
            f"{self.name} never ends: of its leftover tasks, which are cancelled when its function"
            f" has ended, new ones are started again and again ({newest.get_name()}:"
            f" {getattr(coroutine, '__qualname__', coroutine)}); start none for a task that was"
            " cancelled"
        )

    def _clean_up(self) -> bool:
        """Take the next step of the clean end (G24); False when it waits for a settlement."""
        loop = self.loop
        if self._cleaning is None:
            # Nothing but the main task, as in most actions?
            is_alone = loop.tasks == [self._main] or all(task.done() for task in loop.tasks)
            if is_alone and not loop.generators:
                self._end()
                return False
            self._cleaning = [task for task in loop.tasks if not task.done()]
            for task in self._cleaning:
                task.cancel()
            return True
        if any(not task.done() for task in self._cleaning):
            return False
        for task in self._cleaning:
            if not task.cancelled() and (error := task.exception()) is not None:
                loop.call_exception_handler(
                    {"message": "a leftover task failed", "task": task, "exception": error}
                )
        leftovers = [task for task in loop.tasks if not task.done()]
        if leftovers or any(reference() is not None for reference in loop.generators):
            if not leftovers:
                leftovers = [
                    loop.create_task(loop.shutdown_asyncgens(), name=f"{self.name}:aclose")
                ]
            else:
                for task in leftovers:
                    task.cancel()
            self._cleaning = leftovers
            return True
        self._end()
        return False

    def _end(self) -> None:
        assert self._main is not None
        if self._main.cancelled():
            self.error = asyncio.CancelledError()
        else:
            self.error = self._main.exception()
            if self.error is None and (value := self._main.result()) is not None:
                self.error = _not_run(value, self.name)
        self.finished = True
        self._main = self._cleaning = self.parker = None
        self.loop.close()


class PlainContinuation(ContinuationContext):
    """A plain `def` action: a greenlet that parks in `call.result()`.

    Owns: the greenlet, beside what every continuation owns.
    """

    def __init__(self, name: str, seed: int, hub: TurnHub) -> None:
        super().__init__(name, seed, hub)
        self.parker = self
        self._greenlet: greenlet.greenlet | None = None
        self._cancelling = False
        self._parked = False

    def _begin(self, main: ActionMain) -> ActionFuture[Any]:
        done = self.loop.create_future()

        def body() -> None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = main()
            except greenlet.GreenletExit as raised:
                if self.loop.closed:  # `close` has thrown it in; else the action's own code has
                    raise
                error = raised
            except BaseException as raised:
                error = raised
            settle_main(done, value, error, self.name)
            if error is not None and issubclass(type(error), KeyboardInterrupt | SystemExit):
                raise error

        self._greenlet = greenlet.greenlet(body)
        # A greenlet starts with an empty context of its own.
        self._greenlet.gr_context = self._variables()
        self.loop.call_soon(self._greenlet.switch)
        return done

    def park(self, calls: list[ActionFuture[Any]], return_when: str, timeout: float | None) -> None:
        """Suspend the action until `calls` satisfy `return_when` or `timeout` seconds passed."""
        if not self.loop.in_turn or greenlet.getcurrent() is not self._greenlet:
            raise ContextAccessError(
                f"{self.name}: .result() and perdure.wait() suspend the action and work only in the"
                " action's own code"
            )
        woken = False

        def satisfied(_call: object = None) -> None:
            nonlocal woken
            if not woken and _is_satisfied(calls, return_when):
                wake()

        def wake() -> None:
            nonlocal woken
            woken = True
            self._continue()

        timer = self.loop.call_later(timeout, wake) if timeout is not None else None
        for call in calls:
            call.add_done_callback(satisfied)
        try:
            if not _is_satisfied(calls, return_when):
                self._parked = True
                TurnHub.park()
        finally:
            woken = True
            for call in calls:
                call.remove_done_callback(satisfied)
            if timer is not None:
                timer.cancel()
        if self._cancelling:
            self._cancelling = False
            raise asyncio.CancelledError

    def suspend(self, call: DurableCall[Any]) -> None:
        """Suspend the action's code until `call` is settled."""
        park_for_all(self, [call])

    def cancel(self) -> None:
        """Settle hook: the parked `.result()`, or the next one, raises CancelledError."""
        self._cancelling = True
        if self._parked:
            self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        if self._parked and self._greenlet is not None:
            self._parked = False
            self._greenlet.parent = greenlet.getcurrent()
            self._greenlet.switch()

    def _drop(self) -> None:
        super()._drop()
        parked, self._greenlet, self.parker = self._greenlet, None, None
        if parked is not None and parked and not parked.dead:
            leave(parked)

    def _end(self) -> None:
        super()._end()
        self._greenlet = None


def settle_main(
    done: ActionFuture[Any], value: Any, error: BaseException | None, name: str
) -> None:
    """Say through `done` how a plain action's function ended."""
    if error is None:
        done.set_result(value)
    elif issubclass(type(error), asyncio.CancelledError):  # not asking the error itself
        done.cancel()
    elif issubclass(type(error), StopIteration):  # a future refuses it
        done.set_exception(RuntimeError(f"{name} raised StopIteration"))
    else:
        done.set_exception(error)


def _not_run(value: Any, name: str) -> AgentDefinitionError | None:
    """Return the error of an action that has returned code which nothing runs; else None.

    Such is what a plain function returns that wraps an `async def`.
    """
    if not issubclass(type(value), Coroutine | Generator | AsyncGenerator):
        return None
    if not isinstance(value, AsyncGenerator):
        try:
            _close(value)  # or it would be warned of
        except Exception:
            pass  # it had begun, and cannot end here
    made = getattr(value, "__qualname__", type(value).__name__)
    return AgentDefinitionError(
        f"{name} returned the {type(value).__name__} of {made}, which nothing runs: make the"
        " action, and each function that wraps it, `async def` and await it there"
    )


def _close(coroutine: Any) -> None:
    coroutine.close()


def _is_satisfied(calls: list[ActionFuture[Any]], return_when: str) -> bool:
    done = [call for call in calls if call.done()]
    if return_when == asyncio.FIRST_COMPLETED:
        return bool(done)
    if return_when == asyncio.FIRST_EXCEPTION and any(
        not call.cancelled() and asyncio.Future.exception(call) is not None for call in done
    ):
        return True
    return len(done) == len(calls)
