"""Errors of perdure, of Python and of one's own, as outcomes of calls and of runs."""

from __future__ import annotations

import asyncio
import dataclasses
import decimal
import enum
import functools
import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from tests.replay.agents import State, note, out, takes
from tests.replay.harness import Expected, Scenario, one, submits

from perdure import Agent, Event, InputEvent, RetryPolicy
from perdure import errors as own
from perdure.integrations.mcp import MCPToolError

# Errors of one's own


class Reason(enum.Enum):
    """Why a card is declined."""

    EMPTY = "empty"


@dataclasses.dataclass(frozen=True)
class Bill:
    """What an error may carry."""

    amount: decimal.Decimal
    reason: Reason


class DeclinedError(Exception):
    """Takes its arguments by keyword, and keeps more than `args`."""

    def __init__(self, *, bill: Bill) -> None:
        super().__init__(f"declined: {bill.amount}")
        self.bill = bill


class SlottedError(ValueError):
    """Keeps its attributes in slots."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class LockedError(RuntimeError):
    """Holds what stays in its process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock, self.text = threading.Lock(), text


class UnfitError(Exception):
    """Cannot be rebuilt: its argument has no journal form."""

    def __init__(self, what: Any) -> None:
        super().__init__(what)

    def __str__(self) -> str:
        return "unfit"


class WrappingError(own.TerminalError):
    """An error of perdure's kind."""


class ForeignError(BaseException):
    """No Exception."""


class Outer:
    """Has an error in it."""

    class InnerError(KeyError):
        """Is named by its class's name too."""


def _local() -> BaseException:
    class LocalError(Exception):
        pass

    return LocalError("only here")


def _noted() -> BaseException:
    error = ValueError("with notes")
    error.add_note("first")
    error.add_note("second ☃")
    return error


def _chained() -> BaseException:
    error, cause = DeclinedError(bill=BILL), own.RetryableError("try", retry_after=2.5)
    cause.__cause__ = OSError(111, "Connection refused")
    error.__cause__ = cause
    return error


def _suppressed() -> BaseException:
    error = LookupError("from none")
    error.__suppress_context__ = True
    return error


def _grouped() -> BaseException:
    inner = ExceptionGroup("inner", [KeyError("k"), own.OutputSchemaError("no fit")])
    return ExceptionGroup("outer", [SlottedError(7), inner, _noted()])


def _foreign_group() -> BaseException:
    return BaseExceptionGroup("base", [ForeignError("far"), ValueError("near")])


def _decoded() -> BaseException:
    return UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "invalid start byte")


BILL = Bill(decimal.Decimal("9.90"), Reason.EMPTY)
CALL_ERROR = own.DurableCallError("shop.LostError", "it is lost", "Traceback: ...")

Maker = Callable[[], BaseException]
# By name: those that perdure gets later are in no journal of today.
OWN = """
    ActionLoopError AgentDefinitionError ChatLimitError ConditionError ConfigurationError
    ContextAccessError DecodeError EncodeError InputError NonDeterminismError OutputSchemaError
    PerdureError RunCancelledError SinkError SpinningActionError StoreDataError StoreError
    StoreFormatError StoreLockedError TerminalError ToolArgumentsError
""".split()
OF_PERDURE: dict[str, Maker] = {
    **{name: functools.partial(getattr(own, name), f"what {name} says") for name in OWN},
    "DurableCallError": lambda: CALL_ERROR,
    "RetryableError": lambda: own.RetryableError("later", retry_after=30.0),
    "RunsFailedError": lambda: own.RunsFailedError("1 run failed", outputs=[1, "two"], failed=[]),
    "MCPToolError": lambda: MCPToolError("the server's own words"),
}
OF_PYTHON: dict[str, Maker] = {
    "ValueError": lambda: ValueError("plain", 7, (1, 2)),
    "KeyError": lambda: KeyError("k"),
    "no arguments": lambda: RuntimeError(),
    "OSError": lambda: OSError(28, "No space left on device"),
    "with a file": lambda: FileNotFoundError(2, "No such file or directory", "a/b"),
    "with two files": lambda: OSError(18, "Invalid cross-device link", "a", None, "b"),
    "TimeoutError": lambda: TimeoutError("late"),
    "ConnectionResetError": lambda: ConnectionResetError(104, "Connection reset by peer"),
    "UnicodeDecodeError": _decoded,
    "ImportError": lambda: ImportError("no module", name="nowhere", path="no/where"),
    "JSONDecodeError": lambda: json.JSONDecodeError("Expecting value", "{x", 1),
    "CalledProcessError": lambda: subprocess.CalledProcessError(3, ["ls", "x"], b"out", b"err"),
    "InvalidOperation": lambda: decimal.InvalidOperation("not so"),
    "notes": _noted,
    "suppressed": _suppressed,
    "a group": _grouped,
}
OF_MINE: dict[str, Maker] = {
    "by keyword": lambda: DeclinedError(bill=BILL),
    "in slots": lambda: SlottedError(51),
    "with a lock": lambda: LockedError("held"),
    "of perdure's kind": lambda: WrappingError("do not try again"),
    "in a class": lambda: Outer.InnerError("inner"),
    "a chain": _chained,
    "an enum as argument": lambda: ValueError(Reason.EMPTY, BILL),
}
# What comes out of these is a DurableCallError that names them. Plain functions raise them: what
# of this a coroutine raises is for its event loop.
NAMED: dict[str, Maker] = {
    "local": _local,
    "unfit": lambda: UnfitError(object()),
    "StopIteration": lambda: StopIteration(3),
    "GeneratorExit": lambda: GeneratorExit("closed"),
    "CancelledError": lambda: asyncio.CancelledError("nobody asked"),
    "foreign": lambda: ForeignError("far"),
    "a foreign group": _foreign_group,
}
ALL = {**OF_PERDURE, **OF_PYTHON, **OF_MINE, **NAMED}


def _own_attributes(error: BaseException) -> dict[str, Any]:
    hidden = ("__perdure_traceback__", "__notes__", "lock")
    found = {name: held for name, held in vars(error).items() if name not in hidden}
    for name in ("code", "errno", "filename", "filename2", "name", "path", "returncode", "doc"):
        if name not in found and getattr(error, name, None) is not None:
            found[name] = getattr(error, name)
    return dict(sorted(found.items()))


def described(error: BaseException) -> str:
    """Return all that can be told of an error, as text."""
    text = f"{type(error).__qualname__} {error.args!r} {error} {_own_attributes(error)}"
    if getattr(error, "__notes__", None):
        text += f" notes {error.__notes__}"
    if error.__suppress_context__:
        text += " suppressed"
    if error.__cause__ is not None:
        text += f" from ({described(error.__cause__)})"
    if isinstance(error, BaseExceptionGroup):
        text += f" of [{'; '.join(map(described, error.exceptions))}]"
    return text


# As the outcome of a call


async def fails(name: str) -> Bill | Reason:
    """Raise what is called so; the annotation makes the types known that errors carry."""
    note("fails", name)
    await takes(1)
    raise ALL[name]()


def fails_plainly(name: str) -> Bill | Reason:
    """Raise what is called so, on a thread."""
    note("fails_plainly", name)
    raise ALL[name]()


async def told(name: str, text: str) -> None:
    """Take a description: on replay it must be the same."""
    note("told", name)
    await takes(1)


async def _catches(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    fail = fails_plainly if event.input[0] in NAMED else fails
    calls = {name: call(fail, name) for name in event.input}
    for name, each in calls.items():
        try:
            await each
        except BaseException as error:
            text = described(error)
        await call(told, name, text)
        out(ctx, [name, text])


def _caught(makers: dict[str, Maker], done: int) -> Expected:
    outputs = [[name, described(make())] for name, make in makers.items()]
    executed = [("told", name) for name in list(makers)[done:]]
    return Expected(begin=100, outputs={"r1": outputs}, executed=executed)


def _named(type_name: str, message: str) -> str:
    """Return how a DurableCallError is described that stands for another error."""
    attributes = {"message": message, "traceback_text": "traceback", "type_name": type_name}
    told = f"{type_name}: {message}" if message else type_name
    return f"DurableCallError {(type_name, message, 'traceback')!r} {told} {attributes}"


HERE = "tests.replay.failures"
FAR = _named(f"{HERE}.ForeignError", "far")
STAND_INS: dict[str, str] = {
    "local": _named(f"{HERE}._local.<locals>.LocalError", "only here"),
    "unfit": _named(f"{HERE}.UnfitError", "unfit"),
    "StopIteration": _named("StopIteration", "3"),
    "GeneratorExit": _named("GeneratorExit", "closed"),
    "CancelledError": _named("asyncio.exceptions.CancelledError", "nobody asked"),
    "foreign": FAR,
    "a foreign group": (
        "ExceptionGroup ('base', ["
        f"DurableCallError('{HERE}.ForeignError', 'far', 'traceback'), ValueError('near')])"
        f" base (2 sub-exceptions) {{}} of [{FAR}; {described(ValueError('near'))}]"
    ),
}

# As the outcome of a run


FATAL = ["StoreError", "ToolArgumentsError", "with a file", "a group", "a chain", "local"]


async def _fails_and_waits(event: Any, ctx: Any) -> None:
    """Start runs that fail, or are cancelled, and take what made them."""
    if isinstance(event.input, str):  # a child
        await ctx.durable_execute_async(told, "child", event.input)
        raise ALL[event.input]()
    children = {name: await ctx.submit(name, key=name) for name in event.input}
    for name, child in children.items():
        try:
            await child.outputs()
        except Exception as error:
            text = described(error)
        await ctx.durable_execute_async(told, name, text)
        out(ctx, [name, text])


async def busy(what: str) -> str:
    """Say while the journals are made that it may be tried again later."""
    note("busy", what)
    await takes(1)
    if State.making:
        raise own.RetryableError(f"{what} is busy", retry_after=40.0)
    return f"{what}!"


async def never(what: str) -> None:
    """Take longer than it may."""
    note("never", what)
    await takes(1000)


async def _retryable(event: Any, ctx: Any) -> None:
    hasty = ctx.with_options(timeout=2)
    try:
        await hasty.durable_execute_async(never, "slow")
    except TimeoutError as error:
        out(ctx, type(error).__qualname__)
    patient = ctx.with_options(retry=RetryPolicy(max_attempts=5, jitter=0))
    out(ctx, await patient.durable_execute_async(busy, "line"))


class Billed(Event):
    """Makes the types known that errors carry."""

    bill: Bill


async def _never(event: Billed, ctx: Any) -> None:
    """Be there for the annotation."""


def _of(func: Any) -> Callable[[], Agent]:
    return lambda: Agent().add_action("go", [InputEvent], func).add_action("n", Billed, _never)


def _told_of(name: str) -> str:
    return STAND_INS.get(name) or described(ALL[name]())


def _summary(name: str) -> str:
    """Return how the summary of a failed run begins."""
    error = ALL[name]()
    module = "" if type(error).__module__ == "builtins" else f"{type(error).__module__}."
    return f"{module}{type(error).__qualname__}: {error}"


SCENARIOS: dict[str, Scenario] = {
    "errors_of_perdure": one(
        "Each error of perdure as the outcome of a call.",
        _of(_catches), submits((list(OF_PERDURE), "e")), 15.5, first=3,
    ),
    "errors_of_python": one(
        "Errors of Python, with files, notes and members, as outcomes of calls.",
        _of(_catches), submits((list(OF_PYTHON), "e")), 8.5, first=3,
    ),
    "errors_of_mine": one(
        "Errors of one's own, with attributes, slots and causes, as outcomes of calls.",
        _of(_catches), submits((list(OF_MINE), "e")), 4.5, first=3,
    ),
    "errors_named": one(
        "Errors that cannot be raised as their own type, as outcomes of calls.",
        _of(_catches), submits((list(NAMED), "e")), 4.5, first=3,
    ),
    "failed_children": one(
        "Runs that failed, and one that waited for them.",
        _of(_fails_and_waits), submits((FATAL, "parent")), 4.5, first=3,
    ),
    "retryable": one(
        "A call that timed out, another in the back-off that its error asked for.",
        _of(_retryable), submits(("", "r")), 10, first=3,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "errors_of_perdure": _caught(OF_PERDURE, 14),
    "errors_of_python": _caught(OF_PYTHON, 7),
    "errors_of_mine": _caught(OF_MINE, 3),
    "errors_named": Expected(
        begin=100,
        outputs={"r1": [list(each) for each in STAND_INS.items()]},
        executed=[("told", name) for name in list(STAND_INS)[3:]],
    ),
    "failed_children": Expected(
        begin=10,
        outputs={"r1": [[name, _told_of(name)] for name in FATAL]},
        executed=[("told", name) for name in FATAL[3:]],
        statuses={f"r{number}": "failed" for number, _ in enumerate(FATAL, 2)},
        errors={f"r{number}": _summary(name) for number, name in enumerate(FATAL, 2)},
    ),
    "retryable": Expected(
        begin=20, outputs={"r1": ["TimeoutError", "line!"]}, executed=[("busy", "line")]
    ),
}
