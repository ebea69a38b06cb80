"""The mini cluster, which runs in the program's own process: what PyFlink leaves open about it."""

from __future__ import annotations

import atexit
import functools
import gc
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

__all__ = ["keeper", "prepare"]

_MISSES = 2  # in a row, since a TaskManager that has just begun is not registered yet

_prepared: list[Any] = []


def prepare() -> None:
    """See to it that the server is stopped while threads can still be started; once.

    PyFlink stops it in `atexit`. From Python 3.12 on no thread can be started then, and grpcio
    leaves a traceback. Beam's reader leaves one where it is stopped while it reads.
    """
    if _prepared:
        return
    for stop in stops_of_servers():  # of an environment that is not ours
        atexit.unregister(stop)
        at_end_of_threads(stop)
    from pyflink.fn_execution.beam import beam_worker_pool_service as service

    _prepared.append(service)
    service.atexit = SimpleNamespace(register=at_end_of_threads)
    threading.excepthook = without_hang_ups(threading.excepthook)


def stops_of_servers() -> list[Callable[[], Any]]:
    """Return what PyFlink has put into `atexit`, which does not tell what is in it."""
    if "grpc" not in sys.modules:
        return []
    return [
        each
        for each in gc.get_objects()
        if type(each) is functools.partial
        and getattr(each.func, "__name__", "") == "stop"
        and type(getattr(each.func, "__self__", None)).__module__.startswith("grpc")
    ]


def keeper(j_job_client: Any, ask: Callable[[str], Any]) -> Callable[[], None]:
    """Return what starts another TaskManager where a mini cluster has lost its own.

    A fault in Beam's reference counting may end it when a job restarts, and on a cluster something
    else starts another. To be called about once a second; elsewhere it does nothing.

    Args:
        j_job_client: Flink's own client of the job.
        ask: what asks the REST interface.
    """
    if j_job_client.getClass().getSimpleName() != "MiniClusterJobClient":
        return lambda: None
    from pyflink.util.java_utils import get_field_value

    cluster = get_field_value(j_job_client, "miniCluster")
    misses = 0

    def keep() -> None:
        nonlocal misses
        told = ask("/taskmanagers")
        misses = misses + 1 if told is not None and not told.get("taskmanagers") else 0
        if misses >= _MISSES:
            misses = 0
            try:
                cluster.startTaskManager()
            except Exception:
                pass  # its job has ended, and it with it

    return keep


def at_end_of_threads(stop: Callable[[], Any]) -> None:
    """Call `stop` when the main thread ends, before other threads are waited for."""
    register = getattr(threading, "_register_atexit", None)  # what concurrent.futures uses
    (register or atexit.register)(stop)


def without_hang_ups(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a `threading.excepthook` that says nothing of Beam's readers whose peer hung up.

    Args:
        hook: what all else is given to.
    """

    def say(args: Any) -> None:
        code = getattr(args.exc_value, "code", None)
        is_reader = args.thread is not None and args.thread.name.startswith("read_grpc_client")
        if not (is_reader and callable(code) and getattr(code(), "name", "") == "CANCELLED"):
            hook(args)

    return say
