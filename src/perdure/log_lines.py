"""What log records say beside their message: the job, run, key and action that they are about.

Each record that is made in an action, or in a durable callable that it called, by whatever logger,
gets the attributes `job`, `run`, `key` and `action` while a job is open. Actions run in contexts of
their own, where one variable says which it is: nothing is passed on, and it costs nothing unless
something is logged.
"""

from __future__ import annotations

import contextvars
import datetime
import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from perdure.printable import json_text, printable, shown_key

__all__ = ["PLACE", "PLACES", "JsonLogFormatter", "LogPlaces", "Place", "place_fields", "stamp"]

Place = tuple[str, str, Any, str]  # job, id of the run, its key, name of the action
PLACE: contextvars.ContextVar[Place | None] = contextvars.ContextVar("perdure_place", default=None)
_NAMES: Final = ("job", "run", "key", "action")
_DEEPEST: Final = 8  # levels of a value that are shown apart
_MOST: Final = 1_000  # items of one
# What every record has, and is said in a form of its own or says nothing.
_KNOWN: Final = frozenset({*vars(logging.makeLogRecord({})), *_NAMES, "message", "asctime"})


def place_fields(job: str, run: str, key: Any, action: str = "") -> dict[str, Any]:
    """Return the attributes of a record about a run, to be given as its `extra`."""
    place = (printable(job) or None, printable(run), shown_value(key), printable(action) or None)
    return dict(zip(_NAMES, place, strict=True))


def shown_value(key: Any) -> Any:
    """Return a key as a record has it: text and numbers as they are, anything else as JSON."""
    if isinstance(key, str):
        return printable(key)
    return key if key is None or isinstance(key, int | float) else shown_key(key)


def stamp(record: logging.LogRecord, place: Place | None) -> None:
    """Give a record the attributes that it has not: those of a place."""
    if place is not None:
        for name, value in place_fields(*place).items():
            record.__dict__.setdefault(name, value)


class _Attributes(dict[str, Any]):
    """Attributes of a record, of which those of `_NAMES` may be given by `extra=` all the same.

    `logging` refuses an `extra` that a record has already; what worked outside of actions would
    raise in them.
    """

    def __contains__(self, name: object) -> bool:
        return name not in _NAMES and super().__contains__(name)


class LogPlaces:
    """Has records say where they were made, while it is on; process-wide, and counted.

    Owns: the factory of records, around the one that there was. It is taken away with the last
    `end`, unless another has been put around it by then: that one goes on through it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: Callable[..., logging.LogRecord] = logging.LogRecord
        self._was_asked = False

    def begin(self) -> None:
        """Turn it on, or count one more who wants it."""
        with self._lock:
            self._users += 1
            current = logging.getLogRecordFactory()
            if self._users == 1 and not self._is_in(current):
                self._before = current
                logging.setLogRecordFactory(self._made)

    def end(self) -> None:
        """Say that one wants it no longer."""
        with self._lock:
            self._users -= 1
            if not self._users and logging.getLogRecordFactory() == self._made:
                logging.setLogRecordFactory(self._before)

    def _is_in(self, factory: Callable[..., logging.LogRecord]) -> bool:
        """Whether a factory makes its records by ours: it was put around it, and is still there."""
        self._was_asked = False
        try:
            factory("perdure", logging.DEBUG, "", 0, "", (), None)
        except Exception:
            pass  # it is for whoever logs to find out
        return self._was_asked

    def _made(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        self._was_asked = True
        record = self._before(*args, **kwargs)
        place = PLACE.get()
        if place is not None:
            record.__dict__ = _Attributes(record.__dict__)
            record.__dict__.update(place_fields(*place))
        return record


PLACES: Final = LogPlaces()


class JsonLogFormatter(logging.Formatter):
    r"""Formats a log record as one line of JSON.

    It has `time` (UTC), `level`, `logger`, `message`; `job`, `run`, `key` and `action` where it was
    logged in one; what was given with `extra=`; and `error` with `type`, `message` and `traceback`.
    Nothing in it acts in a terminal, also when the JSON is read: texts have escapes, as in
    `\x1b[31m`, for characters that would.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        form: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        attributes = vars(record)
        for name in _NAMES:
            if (value := attributes.get(name)) is not None:
                form[name] = value
        if (error := self._error(record)) is not None:
            form["error"] = error
        if record.stack_info:
            form["stack"] = record.stack_info
        for name, value in attributes.items():
            if name not in _KNOWN and not name.startswith("_"):
                form.setdefault(name, value)
        return json_text(json.dumps(_plain(form), ensure_ascii=False))

    def _error(self, record: logging.LogRecord) -> dict[str, str] | None:
        kind, error, _ = record.exc_info or (None, None, None)
        traceback = record.exc_text
        if traceback is None and record.exc_info and error is not None:
            traceback = self.formatException(record.exc_info)
        if kind is None:
            return None if traceback is None else {"traceback": traceback}
        name = kind.__qualname__
        if kind.__module__ not in ("builtins", "__main__"):
            name = f"{kind.__module__}.{name}"
        return {"type": name, "message": _text(str, error), "traceback": traceback or ""}


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # a template that does not fit: a line is better than none
        return f"{_text(str, record.msg)} ({type(error).__name__}: its arguments do not fit)"


def _text(show: Callable[[Any], str], value: Any) -> str:
    try:
        return show(value)
    except Exception:  # by the class of the value
        return f"<{type(value).__name__}>"


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it, with texts of which nothing acts."""
    if isinstance(value, str):
        return printable(value, lines=True)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() < 64 else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if depth < _DEEPEST and isinstance(value, Mapping):
        items = list(value.items())[:_MOST]
        return {printable(_text(str, name)): _plain(each, depth + 1) for name, each in items}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, depth + 1) for each in list(value)[:_MOST]]
    return printable(_text(repr, value), lines=True)
