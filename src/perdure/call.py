"""A durable call as its maker sees it: a future of the action's own loop.

How a pending call suspends a plain action ("parking") is injected by the executor; this module
knows neither loops nor stores.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from perdure.checks import (
    LONGEST_SECONDS,
    checked_aliases,
    checked_durable_id,
    checked_limit,
    checked_patience,
    checked_time,
    checked_timeout,
    fitting,
    shown,
)
from perdure.errors import (
    ConfigurationError,
    ContextAccessError,
    EncodeError,
    RetryableError,
    TerminalError,
    seconds_of,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

__all__ = ["ActionFuture", "DurableCall", "Outcome", "Parker", "RetryPolicy", "durable", "wait"]


class ActionFuture(asyncio.Future[T]):
    """A future whose hash is the same in every process.

    asyncio keeps futures in sets. Sets iterate by hash, and the default hash is the address, so
    `asyncio.wait` and `TaskGroup` would take another order after a crash.
    """

    __slots__ = ("_identity",)

    def __init__(self, loop: asyncio.AbstractEventLoop, identity: int) -> None:
        self._identity = identity
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._identity


class Parker(Protocol):
    """Suspends a plain action; a coroutine action has none."""

    def park(self, calls: list[ActionFuture[Any]], return_when: str, timeout: float | None) -> None:
        """Return when `calls` satisfy `return_when`, or `timeout` seconds have passed."""


class DurableCall(ActionFuture[T]):
    """The handle of one durable call: awaitable any number of times.

    In an `async def` action it is awaited, alone or through asyncio. In a plain `def` action
    `result()` suspends the action's continuation, not the event loop. It belongs to the action
    that made it and works only inside that action's turns.

    Attributes:
        number: the call's number in its action, from 1.
        function: the recorded identity of what is called.
    """

    __slots__ = ("_on_cancel", "_parker", "function", "number")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        identity: int,
        number: int,
        function: str,
        parker: Parker | None,
        on_cancel: Callable[[DurableCall[Any]], None],
    ) -> None:
        self._identity = identity
        super(ActionFuture, self).__init__(loop=loop)  # past a step: every call is one
        self.number = number
        self.function = function
        self._parker = parker
        self._on_cancel = on_cancel

    def result(self, timeout: float | None = None) -> T:
        """Return the call's result; in a plain action, suspend until there is one.

        Args:
            timeout: seconds of durable time to wait (plain actions only); the call goes on.

        Returns:
            The decoded journal form of what the callable returned.

        Raises:
            TimeoutError: the call did not settle within `timeout`.
            ConfigurationError: `timeout` is no number.
            asyncio.InvalidStateError: pending, in a coroutine action (await it instead).
            BaseException: whatever the callable raised.
        """
        if self._parker is not None:
            self._wait(timeout)
        return super().result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the callable raised, or None; suspends like `result`."""
        if self._parker is not None:
            self._wait(timeout)
        return super().exception()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the call: a coroutine is cancelled, a thread's late result is dropped."""
        if not super().cancel(msg):
            return False
        self._on_cancel(self)
        return True

    def _wait(self, timeout: float | None) -> None:
        timeout = checked_patience(timeout)
        if self.done() or self._parker is None:
            return
        try:
            self._parker.park([self], asyncio.FIRST_COMPLETED, timeout)
        except asyncio.CancelledError:
            self.cancel()  # as awaiting it does in a coroutine
            raise
        if not self.done():
            raise TimeoutError(
                f"call {self.number} ({self.function}) is not done after {timeout} s"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed durable call is attempted again.

    Attempts and wake-ups are journaled: they go on after a crash where they were.

    Attributes:
        max_attempts: attempts in all, the first included.
        initial_interval: seconds before the second attempt.
        backoff_coefficient: factor from each interval to the next.
        max_interval: longest interval, in seconds.
        jitter: each interval is varied by up to this share of it, both ways.
        retry_on: exceptions after which another attempt is made; one may stand alone, and a list
            becomes a tuple.
        non_retryable: exceptions after which none is, though `retry_on` has them.
        total_timeout: seconds for all attempts together, in wall-clock time from the moment the
            action made the call, a restart included; None for no limit.
        count_crashes: an attempt that ends with its process counts too, so that a call which kills
            its process cannot do so for ever; costs a journal row before each attempt.
    """

    __journal_name__ = "perdure:RetryPolicy"

    max_attempts: int = 3
    initial_interval: float = 1.0
    backoff_coefficient: float = 2.0
    max_interval: float = 60.0
    jitter: float = 0.1
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    non_retryable: tuple[type[BaseException], ...] = ()
    total_timeout: float | None = None
    count_crashes: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense; make tuples of the exceptions, given as one or in a list."""
        wrong = [name for name, fits in _IN_RANGE.items() if not _set_number(self, name, fits)]
        if wrong:
            values = ", ".join(f"{name}={shown(getattr(self, name))}" for name in wrong)
            raise ConfigurationError(f"RetryPolicy: {values} is out of range")
        for name in ("retry_on", "non_retryable"):
            given = getattr(self, name)
            if type(given) is not tuple:
                given = tuple(given) if isinstance(given, list | set | frozenset) else (given,)
                object.__setattr__(self, name, given)  # past that of a frozen class
            for each in given:
                if not (isinstance(each, type) and issubclass(each, BaseException)):
                    raise ConfigurationError(
                        f"RetryPolicy: {each!r} in {name}= is no exception class: give classes"
                    )

    def allows(self, error: BaseException, attempt: int) -> bool:
        """Say whether attempt `attempt` (from 1), failed with `error`, is followed by another."""
        if attempt >= self.max_attempts or issubclass(type(error), TerminalError | EncodeError):
            return False
        if isinstance(error, self.non_retryable):
            return False
        return issubclass(type(error), RetryableError) or isinstance(error, (*self.retry_on,))

    def interval(self, error: BaseException, attempt: int, fraction: float) -> float:
        """Return the seconds to wait after attempt `attempt`; `fraction` in [0, 1) is chance.

        That is what the error says, as far as that can be read and waited for; else it is the
        policy's interval.
        """
        said = _retry_after(error) if issubclass(type(error), RetryableError) else None
        if said is not None:
            return max(0.0, said)
        exponent = min(attempt - 1, 1000)
        try:
            grown = self.initial_interval * self.backoff_coefficient**exponent
        except OverflowError:
            grown = self.max_interval
        varied = min(grown, self.max_interval) * (1 + self.jitter * (2 * fraction - 1))
        return min(varied, LONGEST_SECONDS)


def _set_number(on: Any, name: str, fits: Callable[[Any], bool]) -> bool:
    """Keep a field of a frozen class as the number that it is; False where it does not fit."""
    given = getattr(on, name)
    if given is None and name in _OR_NONE:
        return True
    number = fitting(fits, given)
    if number is not None and number is not given:
        object.__setattr__(on, name, number)  # past that of a frozen class
    return number is not None


def _is_count(number: Any) -> bool:
    return bool(number >= 1)


def _is_interval(seconds: Any) -> bool:
    return bool(0 <= seconds <= LONGEST_SECONDS)


# By the name of a field of RetryPolicy.
_IN_RANGE: Final[dict[str, Callable[[Any], bool]]] = {
    "max_attempts": _is_count,
    "initial_interval": _is_interval,
    "backoff_coefficient": lambda factor: 1 <= factor < math.inf,
    "max_interval": _is_interval,
    "jitter": lambda share: 0 <= share <= 1,
    "total_timeout": lambda total: 0 < total <= LONGEST_SECONDS,
}
_OR_NONE: Final = ("total_timeout", "concurrency", "rate")


def _retry_after(error: Any) -> float | None:
    try:
        said = error.retry_after
        seconds = None if said is None else seconds_of(said, "retry_after")
        return seconds if seconds is None or seconds <= LONGEST_SECONDS else None
    except Exception:
        return None  # set on the error since, to what is no number, or made by a property


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many attempts of calls under one name may run, and how fast they may begin.

    Attributes:
        concurrency: attempts that execute at the same time at most; None for no bound.
        rate: attempts that begin within any `per` seconds at most; None for no bound.
        per: seconds of the rate's window.
    """

    __journal_name__ = "perdure:Limit"

    concurrency: int | None = None
    rate: int | None = None
    per: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for name in ("concurrency", "rate"):
            if not _set_number(self, name, _is_count):
                value = shown(getattr(self, name))
                raise ConfigurationError(f"Limit: {name}={value} is no positive number")
        object.__setattr__(self, "per", checked_time(self.per, "Limit: per="))


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a durable call, as `ctx.with_options` and `@durable` give them."""

    timeout: float | None = None
    retry: RetryPolicy | None = None
    reconciler: Callable[..., Any] | None = None
    durable_id: str | None = None
    durable_aliases: tuple[str, ...] = ()
    limit: str | tuple[str, ...] | None = None

    @property
    def is_lone(self) -> bool:
        """True where one attempt is all there is, and nothing bounds it."""
        once = self.retry is None and self.reconciler is None
        return once and self.timeout is None and self.limit is None

    def over(self, other: CallOptions) -> CallOptions:
        """Return these options, with those of `other` where these have none."""
        if other is NO_OPTIONS:
            return self
        if self is NO_OPTIONS:
            return other
        return CallOptions(
            timeout=other.timeout if self.timeout is None else self.timeout,
            retry=other.retry if self.retry is None else self.retry,
            reconciler=other.reconciler if self.reconciler is None else self.reconciler,
            durable_id=other.durable_id if self.durable_id is None else self.durable_id,
            durable_aliases=self.durable_aliases
            if self.durable_id is not None or self.durable_aliases
            else other.durable_aliases,
            limit=other.limit if self.limit is None else self.limit,
        )


NO_OPTIONS = CallOptions()
F = TypeVar("F", bound=Callable[..., Any])


def durable(
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    limit: str | None = None,
    id: str | None = None,
    aliases: Iterable[str] = (),
) -> Callable[[F], F]:
    """Declare a function's defaults as a durable call; `ctx.with_options` goes before them.

    Args:
        timeout: seconds for one attempt.
        retry: when a failed attempt is followed by another.
        limit: name of a limit of the job's configuration (`limits`) that its attempts count under.
        id: its name in the journal, where the function's own may change.
        aliases: names that it had in the journal before, such as "shop.calc:price"; its own
            `module:qualname` of now need not be among them.
    """
    options = CallOptions(
        timeout=checked_timeout(timeout),
        retry=checked_retry(retry),
        durable_id=checked_durable_id(id),
        durable_aliases=checked_aliases(aliases),
        limit=None if limit is None else checked_limit(limit),
    )

    def declare(function: F) -> F:
        function.__perdure_options__ = options  # type: ignore[attr-defined]
        return function

    return declare


def checked_retry(retry: RetryPolicy | None) -> RetryPolicy | None:
    """Return `retry` if it is None or a policy.

    Raises:
        ConfigurationError: it is neither.
    """
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry={retry!r:.60} is no policy: give RetryPolicy(...)")
    return retry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T_co]):
    """What came of one call: a value or an error."""

    __journal_name__ = "perdure:Outcome"

    value: T_co | None = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        """True when the call returned."""
        return self.error is None

    def unwrap(self) -> T_co:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None is T_co where there is no error


def outcome_of(call: ActionFuture[T]) -> Outcome[T]:
    """Return the outcome of a settled `call`; a cancelled one has a CancelledError."""
    if call.cancelled():
        return Outcome(error=asyncio.CancelledError())
    error = asyncio.Future.exception(call)
    return Outcome(error=error) if error is not None else Outcome(value=asyncio.Future.result(call))


def checked_calls(calls: Iterable[T], what: str) -> list[T]:
    """Return a list of what `what` is given; TypeError if it cannot be waited for."""
    found = list(calls)
    for place, call in enumerate(found, 1):
        if not isinstance(call, asyncio.Future):
            raise TypeError(
                f"{what} waits for durable calls, and what it is given at place {place} is of type"
                f" {type(call).__name__}: give it what ctx.durable_execute_async returns"
            )
    return found


def park_for_all(parker: Parker, calls: Sequence[ActionFuture[Any]]) -> None:
    """Suspend a plain action until all `calls` are settled; if it is cancelled, so are they."""
    try:
        parker.park(list(calls), asyncio.ALL_COMPLETED, None)
    except asyncio.CancelledError:
        for call in calls:
            call.cancel()  # as awaiting them does in a coroutine
        raise


class Gathered(Generic[T]):
    """What `ctx.gather` gives a coroutine action: await it for the list of outcomes."""

    def __init__(self, calls: Sequence[ActionFuture[T]]) -> None:
        self._calls = calls

    def __await__(self) -> Generator[Any, None, list[Outcome[T]]]:
        yield from _settled(self._calls).__await__()
        return [outcome_of(call) for call in self._calls]


async def _settled(calls: Sequence[ActionFuture[Any]]) -> None:
    if not calls:
        return
    try:
        await asyncio.wait(calls)
    except asyncio.CancelledError:
        for call in calls:
            call.cancel()  # which asyncio.wait leaves alone
        raise


def wait(
    calls: Iterable[DurableCall[Any]],
    *,
    timeout: float | None = None,
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[set[DurableCall[Any]], set[DurableCall[Any]]]:
    """Suspend a plain action until calls settle, as `asyncio.wait` does a coroutine.

    Args:
        calls: durable calls of this action.
        timeout: seconds of durable time, None for no limit.
        return_when: `asyncio.FIRST_COMPLETED`, `FIRST_EXCEPTION` or `ALL_COMPLETED`.

    Returns:
        The sets (done, pending); both iterate in the same order in every process.

    Raises:
        ContextAccessError: called in a coroutine action, where `asyncio.wait` does it.
        TypeError: what is no durable call is among `calls`.
        ConfigurationError: `timeout` is no number.
    """
    waited = checked_calls(dict.fromkeys(calls), "perdure.wait")
    if not waited:
        raise ValueError("wait() needs at least one call")
    parker = getattr(waited[0], "_parker", None)
    if parker is None:
        raise ContextAccessError(
            "perdure.wait suspends plain actions: await asyncio.wait(...) here"
        )
    parker.park(list(waited), return_when, checked_patience(timeout))
    done = {call for call in waited if call.done()}
    return done, {call for call in waited if call not in done}
