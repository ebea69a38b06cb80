"""One run in all detail: what its timeline is drawn from, its journal, its values in full."""

from __future__ import annotations

import urllib.parse
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perdure.operate.history import AsyncHistory, JobRow
from perdure.operate.journal_lines import journal_lines
from perdure.operate.lives import lives_during
from perdure.operate.run_detail import RunDetail
from perdure.web.bodies import number_in
from perdure.web.forms import CUT, detail_form, line_form
from perdure.web.operations import json_answer
from perdure.web.problems import Problem
from perdure.web.run_routes import id_in
from perdure.web.service import service_of

__all__ = ["detail", "records", "value"]


async def detail(request: Request) -> Response:
    """Answer with everything that a run did; values are cut."""
    query = request.query_params
    cut, id_ = number_in(query, "cut", 0, CUT, CUT), id_in(request)

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        found = await history.detail(job, id_)
        return detail_form(found, await lives_during(history, job, found), cut)

    return json_answer(await service_of(request).reader.read_json(read))


async def records(request: Request) -> Response:
    """Answer with the records of a run's journal, as they are."""
    query = request.query_params
    after = number_in(query, "after", 0, 2**40, 0)
    limit, id_ = number_in(query, "limit", 1, 5000, 1000), id_in(request)

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        info = await history.run(job, id_)
        lines = await journal_lines(history, info.number, after=after, limit=limit)
        return {
            "run": info.id,
            "records": [line_form(line) for line in lines],
            "after": after + len(lines) if len(lines) == limit else None,
        }

    return json_answer(await service_of(request).reader.read_json(read))


async def value(request: Request) -> Response:
    """Answer with one value of a run in full, which lists have cut."""
    path, id_ = request.query_params.get("path", ""), id_in(request)

    async def read(history: AsyncHistory, job: JobRow) -> Any:
        info = await history.run(job, id_)
        if path in _HEAD:
            return getattr(info, path)
        return _value_in(await history.detail(job, id_), path)

    return json_answer(await service_of(request).reader.read_json(read))


_HEAD = ("input", "key", "activity")


def _value_in(detail: RunDetail, path: str) -> Any:
    """Return a value by the path that `forms` gave it.

    Raises:
        Problem: there is none.
    """
    kind, *rest = path.split("/")
    try:
        if kind == "calls":
            event, name, index = rest
            wanted = (int(event), urllib.parse.unquote(name))
            (action,) = (each for each in detail.actions if (each.event, each.name) == wanted)
            return action.calls[_index(index)].outcome
        (number,) = rest
        if kind == "events":
            return next(e.attributes for e in detail.events if e.number == int(number))
        if kind == "outputs":
            return next(o.value for o in detail.outputs if o.number == int(number))
        if kind == "memory":
            return detail.memory[_index(number)].value
        if kind == "signals":
            return detail.signals[_index(number)].value
        raise LookupError(kind)
    except (ValueError, LookupError, StopIteration):
        raise Problem(
            404, f"run {detail.run.id} has no value {path[:100]!r}: take the path of a value that"
            " was cut",
        ) from None  # fmt: skip


def _index(text: str) -> int:
    index = int(text)
    if index < 0:
        raise LookupError(text)
    return index
