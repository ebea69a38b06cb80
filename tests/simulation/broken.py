"""Runtimes with one promise broken each, to see that the simulation notices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from perdure.journal.journal import ActionHistory, Journal
from perdure.journal.record import Record, RecordKind
from perdure.runtime import recovery
from perdure.runtime.run_state import RunState

_recover = recovery.recover
_counter = itertools.count()


class SettlesInCallOrder(Journal):
    """It forgets in which order calls settled."""

    def __init__(self, history: ActionHistory, where: object) -> None:
        in_order = sorted(history.settlements, key=lambda record: record.call)
        super().__init__(history._replace(settlements=in_order), where)


def without_attempts(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, but for the attempts of its calls that have failed."""
    kept = [record for record in records if record.kind != RecordKind.ATTEMPT]
    return _recover(kept, *args, **kwargs)


def drawn_event_id(*_parts: object) -> str:
    """Return an id for an event that is drawn, not derived."""
    return f"drawn-{next(_counter)}"


def without_newest_settlement(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, but for the last outcome of a call in it."""
    kept = list(records)
    for index in reversed(range(len(kept))):
        if kept[index].kind == RecordKind.RESULT:
            del kept[index]
            break
    return _recover(kept, *args, **kwargs)


def apply_nothing(current: dict[str, Any], delta: Sequence[Any], now: int) -> None:
    """Forget what completed actions of an unfinished run wrote to memory."""
