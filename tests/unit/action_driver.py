"""Drives one action by hand, as the runtime does: calls are made in it and settled from outside."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from perdure.call import DurableCall
from perdure.executor.continuation import ContinuationContext, PlainContinuation
from perdure.executor.hub import TurnHub, new_hub

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class Driver:
    """One action on a hub of its own.

    Attributes:
        log: what the action wrote down.
        calls: the calls that it made, by name.
        cancelled: names of calls that were cancelled.
    """

    def __init__(
        self,
        main: Callable[[Driver], Any],
        *,
        plain: bool = False,
        seed: int = 7,
        hub: TurnHub | None = None,
    ) -> None:
        used = hub or new_hub()
        kind = PlainContinuation if plain else ContinuationContext
        self.context: ContinuationContext = kind("act", seed, used)
        self.log: list[Any] = []
        self.calls: dict[str, DurableCall[Any]] = {}
        self.cancelled: list[str] = []
        self._main = main
        self._at = START

    @property
    def loop(self) -> Any:
        return self.context.loop

    @property
    def finished(self) -> bool:
        return self.context.finished

    @property
    def error(self) -> BaseException | None:
        return self.context.error

    # In the action

    def call(self, name: str) -> DurableCall[Any]:
        """Make a call that stays pending until the test settles it."""
        call: DurableCall[Any] = DurableCall(
            self.loop,
            self.loop.next_identity(),
            number=len(self.calls) + 1,
            function=name,
            parker=self.context.parker,
            on_cancel=lambda _: self.cancelled.append(name),
        )
        self.calls[name] = call
        return call

    def call_and_block(self, name: str) -> Any:
        """Make a call as the synchronous `ctx.durable_execute` does."""
        call = self.call(name)
        if not call.done():
            self.context.suspend(call)
        return call.result()

    # From outside

    def start(self) -> Driver:
        self.context.start(self._at, functools.partial(self._main, self))
        return self

    def turn(self, settle: Callable[[], None] = lambda: None, *, after: float = 0.0) -> None:
        """Run one turn, `after` seconds after the one before."""
        self._at += round(after * SECOND)
        self.context.turn(self._at, settle)

    def settle(self, name: str, value: Any = None, *, after: float = 0.0) -> None:
        """Deliver the outcome of a call: a value, or an exception to raise."""
        call = self.calls[name]

        def settle() -> None:
            if call.done():
                return
            if isinstance(value, BaseException):
                call.set_exception(value)
            else:
                call.set_result(value)

        self.turn(settle, after=after)


def on_host(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a host loop of its own; nothing may be left running on it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def body() -> None:
            host = asyncio.get_running_loop()
            await test(*args, **kwargs)
            assert asyncio.get_running_loop() is host

        asyncio.run(body())

    return run
