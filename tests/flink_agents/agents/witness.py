"""What the agents of this folder do that can be seen, and where they are killed.

A process of its own has a folder in WITNESS. Where KILL_AT is reached, it ends as with SIGKILL, the
first time.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

CALLS: list[str] = []
_SHELF: dict[str, Any] = {}
_LOCK = threading.Lock()


def folder() -> Path | None:
    """Return where a process of its own notes down what it does."""
    named = os.environ.get("WITNESS")
    return None if named is None else Path(named)


def forget() -> None:
    """Begin anew, in this process."""
    CALLS.clear()
    _SHELF.clear()


def called(what: str) -> None:
    """Note down a call; killed here it has been made, and nobody knows what came of it."""
    where = folder()
    with _LOCK:
        if where is None:
            CALLS.append(what)
        else:
            with (where / "calls").open("a", encoding="utf-8") as log:
                log.write(f"{what}\n")
    reached(what)


def reached(where_to: str) -> None:
    """Be killed here, where KILL_AT says so, unless somebody was before."""
    where = folder()
    if where is None or os.environ.get("KILL_AT") != where_to:
        return
    with _LOCK:
        if (where / "killed").exists():
            return
        (where / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def shelf() -> dict[str, Any]:
    """Return what a service elsewhere knows, which no kill of this process takes from it."""
    where = folder()
    if where is None:
        return _SHELF
    file = where / "shelf"
    known: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return known


def put(name: str, value: Any) -> None:
    """Have a service elsewhere know something."""
    where = folder()
    with _LOCK:
        if where is None:
            _SHELF[name] = value
        else:
            text = json.dumps({**shelf(), name: value})
            (where / "shelf.new").write_text(text, "utf-8")
            (where / "shelf.new").replace(where / "shelf")
