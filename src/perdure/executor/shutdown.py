"""Which exceptions of a callable mean that the process ends, and which only that it failed (G9)."""

from __future__ import annotations

import functools
import signal
import types
from typing import Any

__all__ = ["ends_process", "what_ends"]

_members = vars(BaseExceptionGroup)["exceptions"].__get__
_traceback = vars(BaseException)["__traceback__"].__get__


def ends_process(error: BaseException) -> bool:
    """Say whether what a callable raised on the host's thread means that the process is to end.

    A KeyboardInterrupt does. A SystemExit does where it passed through the current handler of a
    signal; one that the callable has brought about itself (`argparse` and others call `sys.exit`)
    is its failure, like any other exception. A group does if one of its members does. It never
    fails, whatever the exception does when it is asked.

    Args:
        error: as it was caught, with its traceback; on the thread that runs signal handlers.
    """
    return _ending(error) is not None


def what_ends(error: BaseException) -> BaseException:
    """Return what is to be raised by a process that ends with an exception.

    That is the first member of a group that ends the process: a KeyboardInterrupt in a group is
    one for whoever started the process, too.

    Args:
        error: any exception; one that is no such group is returned as it is.
    """
    ending = _ending(error)
    return error if ending is None else ending


def _ending(error: BaseException) -> BaseException | None:
    # One after another: groups may be nested deeper than the stack is, and hold a member often.
    left: list[BaseException] = [error]
    seen: set[int] = set()
    while left:
        error = left.pop()
        # By its type: isinstance asks the exception, which may be of anybody's making.
        kind = type(error)
        if issubclass(kind, BaseExceptionGroup):
            if id(error) not in seen:
                seen.add(id(error))
                left.extend(reversed(_members(error)))
        elif issubclass(kind, SystemExit):
            if _passed_signal_handler(_traceback(error)):
                return error
        elif issubclass(kind, KeyboardInterrupt):
            return error
    return None


def _passed_signal_handler(traceback: types.TracebackType | None) -> bool:
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    handlers.discard(None)
    while traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback = traceback.tb_next
    return False


def _code_of(handler: Any) -> types.CodeType | None:
    """Return the code that runs when a signal handler is called; None where none of Python does."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not callable(handler):
        return None
    if not hasattr(handler, "__code__") and not hasattr(handler, "__func__"):
        handler = getattr(type(handler), "__call__", None)  # noqa: B004 - the method itself is wanted
    handler = getattr(handler, "__func__", handler)
    code = getattr(handler, "__code__", None)
    return code if isinstance(code, types.CodeType) else None
