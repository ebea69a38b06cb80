"""Runs and outputs as notebooks show them: a small table, of which nothing acts in the page."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from perdure.printable import printable

__all__ = ["shown_moment", "table"]

_LONGEST = 1000  # characters of a value


def table(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    """Return an HTML table of a thing; rows whose value is None, "" or empty are left out.

    Args:
        title: what it is.
        rows: names and values; a text stands as it is, another value as its `repr`.
    """
    from html import escape  # here: nobody else waits for all the names that it knows

    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'><code>{escape(_shown(value))}</code></td></tr>"
        for name, value in rows
        if not (value is None or value == "" or value == ())
    )
    return f"<table><caption>{escape(printable(title))}</caption>{cells}</table>"


def shown_moment(ns: int) -> str:
    """Return a time (ns since the epoch) as people read it, in UTC; "" for 0."""
    if not ns:
        return ""
    moment = datetime.datetime.fromtimestamp(ns // 1_000_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = printable(text, lines=True)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
