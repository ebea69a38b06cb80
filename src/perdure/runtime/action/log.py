"""ActionLog: what an action logs, each line once over crashes.

A line that is new is held back until a mark is durable that says so, and emitted right after that.
Mostly the mark is in the commit of what the turn leads to: the next settlement, or the action's
completion, which needs none. Where that takes longer than a moment, as with a call that runs for a
while, the mark has a commit of its own. A replay leaves out the marked lines, and no others.

So a process that dies says a line before the mark, and then the next one says it; only a death in
the instant between the commit and the line loses it.

Code that is closed before its end leaves through its finally blocks, and runs again if the run goes
on: what it says then is emitted only if the run has ended with that.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from perdure.executor.running import running_loop
from perdure.journal.record import Record
from perdure.log_lines import Place, stamp
from perdure.printable import printable_logger
from perdure.runtime.action.sides import ActionOfParts

logger = printable_logger("perdure")

_IMMUTABLE = (str, int, float, bool, type(None), bytes)


class Line(NamedTuple):
    """A line that waits for its mark, with the context that it was logged in."""

    record: logging.LogRecord
    emit: Callable[[logging.LogRecord], None]
    context: contextvars.Context


class ActionLog:
    """The lines of one action that are not emitted yet, and the marks of those that were.

    Owns: those lines. Lifecycle: that of the action. Lines are added in the action's own code, on
    its thread; all else happens on the host loop's.

    Args:
        action: the action.
        marked: how many lines of which turn were emitted before, by the number of the settlement
            before it; None where that is not known, since older versions did not say it: then
            what is replayed is taken for emitted.
    """

    def __init__(self, action: ActionOfParts, marked: Mapping[int, int] | None) -> None:
        self._action = action
        self._marked = marked
        self._turn = 0
        self._lines = 0  # of the turn
        self._unmarked: dict[int, int] = {}
        self._held: list[Line] = []
        self._parting: list[Line] | None = []  # said as it was closed; None: they are emitted
        self._lock = threading.Lock()

    def add(self, record: logging.LogRecord, emit: Callable[[logging.LogRecord], None]) -> None:
        """Take a line: hold it back, or leave it out where it was emitted before."""
        action = self._action
        loop = action.continuation.loop
        is_in_turn = running_loop() is loop
        if action.continuation.is_leaving or (is_in_turn and action.ended):
            self._part(record, emit)
            return
        if not is_in_turn:
            emit(record)  # not the action's own code, which alone is replayed
            return
        if self._marked is None and not action.is_live:
            return
        _freeze(record)
        with self._lock:
            if self._turn != loop.turn:
                self._turn, self._lines = loop.turn, 0
            self._lines += 1
            if self._marked and self._lines <= self._marked.get(self._turn, 0):
                return
            self._unmarked[self._turn] = self._lines
            self._held.append(Line(record, emit, contextvars.copy_context()))
            is_first = len(self._held) == 1
        if is_first:
            action.continuation.on_host(action.run.tell_soon)

    def _part(self, record: logging.LogRecord, emit: Callable[[logging.LogRecord], None]) -> None:
        with self._lock:
            if self._parting is not None:
                _freeze(record)
                self._parting.append(Line(record, emit, contextvars.copy_context()))
                return
        emit(record)  # a thread of its own was not told of the end before (G19)

    def tell_parting(self) -> None:
        """Emit what was said as the action was closed: that was its end, and that is durable."""
        with self._lock:
            parting, self._parting = self._parting, None
        emit_all(parting or ())

    @property
    def is_empty(self) -> bool:
        """True when no line is held back."""
        return not self._held

    def cut(self, at: int) -> tuple[list[Record], list[Line]]:
        """Return the marks of the lines held back, and these: to emit when the marks are durable.

        Args:
            at: now, ns since the epoch.
        """
        action = self._action
        with self._lock:
            marks = [
                Record.logged(action.run_number, action.event, action.name, turn, lines, at=at)
                for turn, lines in self._unmarked.items()
            ]
            held, self._held = self._held, []
            self._unmarked.clear()
        return marks, held


def emit_all(lines: Iterable[Line]) -> None:
    """Emit lines whose marks are durable."""
    for record, emit, context in lines:
        try:
            context.run(emit, record)
        except Exception:
            logger.exception("a handler of what an action logs failed")


def _freeze(record: logging.LogRecord) -> None:
    """Let a line say what its arguments are now, whatever becomes of them."""
    args = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    if not isinstance(record.msg, str) or not all(isinstance(arg, _IMMUTABLE) for arg in args):
        record.msg, record.args = record.getMessage(), None


class ActionLogger(logging.Logger):
    """The logger of an action; it is in no registry, which would never forget it."""

    def __init__(self, name: str, add: Callable[..., None], place: Place | None) -> None:
        super().__init__(name)
        self._add = add
        self._place = place
        self.parent = logging.getLogger("perdure.run")

    def handle(self, record: logging.LogRecord) -> None:
        """Have a line emitted once over crashes."""
        stamp(record, self._place)  # wherever it was logged
        self._add(record, super().handle)
