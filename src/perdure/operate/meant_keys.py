"""Keys by the text that lists show them as: it may be text, JSON, or a value of a type of its own.

Coroutine functions over an `AsyncHistory`; `history.blocking` makes plain ones of them.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from perdure.codec.digests import digest
from perdure.errors import EncodeError
from perdure.operate.history import AsyncHistory
from perdure.run import RunInfo, RunStatus
from perdure.store.base import JobRow, Page

__all__ = ["keys_meant", "runs_of_keys"]

# Each makes a value of its text, which is meant where the value is shown as that very text.
_SHOWN: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (uuid.UUID, str),
    (datetime.datetime.fromisoformat, datetime.datetime.isoformat),
    (datetime.date.fromisoformat, datetime.date.isoformat),
    (decimal.Decimal, str),
    (float, str),
)


async def keys_meant(history: AsyncHistory, job: JobRow, text: str) -> list[Any]:
    """Return the keys of the job that a text may mean; itself where there is none."""
    found: dict[bytes, Any] = {}
    for key in _candidates(text):
        try:
            name = digest(key)
            if name not in found and (await history.runs_page(job, key=key, limit=1)).items:
                found[name] = key
        except (EncodeError, RecursionError):
            pass  # nothing that could be a key
    return list(found.values()) or [text]


def _candidates(text: str) -> Iterator[Any]:
    yield text
    for parse, shown in _SHOWN:
        try:
            value = parse(text)
            if shown(value) == text:
                yield value
        except (ValueError, ArithmeticError):
            pass
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    if value is not None:  # a filter without a key
        yield value
    if isinstance(value, list):
        try:
            yield _hashable(value)
            yield frozenset(_hashable(value))
        except (RecursionError, TypeError):
            pass  # it is nested too deeply, or a dict is in it
    elif isinstance(value, dict) and list(value) == ["$base64"]:
        try:
            yield base64.b64decode(value["$base64"], validate=True)
        except (TypeError, ValueError):
            pass


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


async def runs_of_keys(
    history: AsyncHistory,
    job: JobRow,
    keys: list[Any],
    *,
    status: RunStatus | None,
    after: str = "",
    limit: int,
) -> Page[RunInfo]:
    """Return the newest runs of any of these keys, as `AsyncHistory.runs_page` those of one."""

    async def page_of(key: Any, limit: int) -> Page[RunInfo]:
        return await history.runs_page(job, status=status, key=key, after=after, limit=limit)

    pages = [await page_of(key, limit) for key in keys]
    if len(pages) == 1:
        return pages[0]
    runs = [(info.number, which) for which, page in enumerate(pages) for info in page.items]
    newest = sorted(runs, reverse=True)[:limit]
    shown = {number for number, _ in newest}
    items = [info for page in pages for info in page.items if info.number in shown]
    items.sort(key=lambda info: -info.number)
    if len(newest) < limit:
        return Page(items, "")
    # The cursor of the last one: that of a page which ends with it.
    last = newest[-1][1]
    upto = await page_of(keys[last], sum(which == last for _, which in newest))
    return Page(items, upto.after)
