"""Which exceptions of a callable mean that the process ends, and which only that it failed (G9)."""

from __future__ import annotations

import functools
import signal
import types
from typing import Any

__all__ = ["ends_process"]


def ends_process(error: BaseException) -> bool:
    """Say whether what a callable raised on the host's thread means that the process is to end.

    A KeyboardInterrupt does. A SystemExit does where it passed through the current handler of a
    signal; one that the callable has brought about itself (`argparse` and others call `sys.exit`)
    is its failure, like any other exception. A group does if one of its members does.

    Args:
        error: as it was caught, with its traceback; on the thread that runs signal handlers.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(ends_process(member) for member in error.exceptions)
    if isinstance(error, SystemExit):
        return _passed_signal_handler(error.__traceback__)
    return isinstance(error, KeyboardInterrupt)


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
