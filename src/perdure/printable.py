"""Text from outside as a terminal and a log may have it: what would act there is shown as text.

Keys, ids, names, statuses, values and errors come from inputs, models and servers. Whatever shows
them goes through here, so that none of them moves the cursor, colours the screen, sets a title,
turns the line around or begins a new one.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from typing import Any

__all__ = [
    "PrintableFilter",
    "json_text",
    "printable",
    "printable_logger",
    "quoted_key",
    "shell_word",
    "shown_key",
    "shown_place",
    "unstorable",
    "why_no_name",
]

# C0, DEL and C1; marks that turn text around; separators of lines; halves of characters.
_ACTING = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_LINES = re.compile(f"[{_ACTING}]")
_LINE = re.compile(f"[{_ACTING}\t\n]")
_LONGEST_KEY = 100
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return text that only shows: `\x1b` stands for the character of that number.

    Args:
        text: Any text.
        lines: Whether it may have several lines, and tabs.
    """
    if text.isprintable():  # the common case; no acting character is printable
        return text
    return (_LINES if lines else _LINE).sub(_escaped, text)


def unstorable(name: str) -> str:
    """Return why no store can have a name; "" where it can.

    A file name that is no UTF-8, and JSON with an escape for half of a character, give such names.
    """
    if name.isascii():
        return ""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "it has half of a character (a lone surrogate), which no store can keep"
    return ""


def why_no_name(given: object) -> str:
    """Return why something is no name that a store can have; "" where it is."""
    return unstorable(given) if isinstance(given, str) else "give a text"


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    number = ord(character)
    return _NAMED.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def json_text(text: str) -> str:
    """Return JSON text whose strings have escapes for what would act: it is the same JSON."""
    if text.isprintable():
        return text
    return _LINES.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def shell_word(text: str) -> str:
    r"""Return text as one word of a command to be copied, on one line, of which nothing acts.

    What would act is an escape in `$'...'`, which bash and zsh take.
    """
    if printable(text) == text:
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_LINE.sub(_shell_escape, escaped)}'"


def _shell_escape(match: re.Match[str]) -> str:
    # Beyond ASCII \x would be a byte of a character.
    number = ord(match.group())
    short = f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}"
    return _NAMED.get(match.group(), short)


def shown_key(key: Any) -> str:
    """Return a key in one line: text as it is, anything else as JSON."""
    if isinstance(key, str):
        text = printable(key)
    else:
        try:
            text = json_text(json.dumps(key, ensure_ascii=False))
        except (TypeError, ValueError, RecursionError):
            text = _representation(key)
    return text if len(text) <= _LONGEST_KEY else text[: _LONGEST_KEY - 1] + "…"


def _representation(key: Any) -> str:
    try:
        return printable(repr(key))
    except Exception:  # a message is made of it, whatever its class does
        return f"<{type(key).__name__}>"


def quoted_key(key: Any) -> str:
    """Return a key as `shown_key` does, text in quotes: for the middle of a sentence."""
    return f"'{shown_key(key)}'" if isinstance(key, str) else shown_key(key)


def shown_place(place: str) -> str:
    """Return `FILE:LINE` as people write it: from the working directory where it lies below."""
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:  # it was deleted
        return printable(place)
    return printable(place.removeprefix(here))


class PrintableFilter(logging.Filter):
    """Makes log records printable before any handler sees them.

    Args:
        lines: Whether messages may have several lines.
    """

    def __init__(self, *, lines: bool = False) -> None:
        super().__init__()
        self._keeps_lines = lines

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace what would act in message and traceback; let every record pass."""
        try:
            self._clean(record)
        except Exception:
            pass  # a message that does not fit its arguments: the handler tells of it
        return True

    def _clean(self, record: logging.LogRecord) -> None:
        if not self._is_printable(record.getMessage()):
            if isinstance(record.args, tuple):  # the template stays what it is
                record.args = tuple(map(self._argument, record.args))
            message = record.getMessage()
            if not self._is_printable(message):
                record.msg, record.args = self._printable(message), None
        if record.exc_info and not record.exc_text:
            text = logging.Formatter().formatException(record.exc_info)
            shown = printable(text, lines=True)
            if shown != text:
                record.exc_text = shown

    def _argument(self, value: object) -> object:
        if isinstance(value, int | float):
            return value
        text = str(value)
        return value if self._is_printable(text) else self._printable(text)

    def _printable(self, text: str) -> str:
        return printable(text, lines=self._keeps_lines)

    def _is_printable(self, text: str) -> bool:
        return self._printable(text) == text


_FILTER = PrintableFilter()


def printable_logger(name: str) -> logging.Logger:
    """Return the logger of this name; its records are printable."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)  # it is added once
    return logger
