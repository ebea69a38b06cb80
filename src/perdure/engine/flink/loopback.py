"""The server that PyFlink's mini cluster reaches the program's own process through."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

__all__ = ["prepare"]

_prepared: list[Any] = []


def prepare() -> None:
    """See to it that the server is stopped while threads can still be started; once.

    PyFlink stops it in `atexit`. From Python 3.12 on no thread can be started then, and grpcio
    leaves a traceback.
    """
    if _prepared:
        return
    from pyflink.fn_execution.beam import beam_worker_pool_service as service

    _prepared.append(service)
    service.atexit = SimpleNamespace(register=at_end_of_threads)


def at_end_of_threads(stop: Callable[[], Any]) -> None:
    """Call `stop` when the main thread ends, before other threads are waited for."""
    register = getattr(threading, "_register_atexit", None)  # what concurrent.futures uses
    (register or atexit.register)(stop)
