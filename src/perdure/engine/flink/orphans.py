"""Workers whose Flink has died: they end themselves.

Flink's Python workers outlive a TaskManager that is killed: they would go on making calls that the
TaskManager in its place makes again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["is_worker", "watch"]

INTERVAL_SECONDS: Final = 0.25
_WORKER: Final = "pyflink.fn_execution.beam.beam_boot"
_lock: Final = threading.Lock()
_watching: list[threading.Thread] = []


def is_worker() -> bool:
    """Return whether this process is one that a TaskManager started for Python functions.

    In the mini cluster functions run in the program's own process, which nothing may end.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name == _WORKER


def watch() -> None:
    """End this process at once when its TaskManager is gone; only in a worker, and once.

    Thread: any. It costs a daemon thread that looks four times a second.
    """
    with _lock:
        if _watching or not is_worker():
            return
        is_gone = watcher(os.getppid())
        thread = threading.Thread(
            target=_watch, args=(is_gone,), daemon=True, name="perdure-orphan"
        )
        _watching.append(thread)
    thread.start()


def _watch(is_gone: Callable[[], bool]) -> None:
    while not is_gone():
        time.sleep(INTERVAL_SECONDS)
    os._exit(9)  # nothing may be finished: another process does the same by now


def watcher(runner: int) -> Callable[[], bool]:
    """Return what tells whether the TaskManager is gone.

    Args:
        runner: the process of the script between the TaskManager and this process. It stays when
            the TaskManager is killed, and gets another parent.
    """
    if Path("/proc/self/stat").exists():
        first = _parent(runner)
        return lambda: _parent(runner) != first
    found = subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(runner)], capture_output=True, text=True, check=False
    )
    manager = int(found.stdout.strip() or 1)
    return lambda: not _is_alive(manager)


def _parent(pid: int) -> int:
    """Return the parent of a process; -1 where that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return -1
    return int(stat.rpartition(b")")[2].split()[1])  # the name before it may have blanks


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
