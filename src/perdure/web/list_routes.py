"""Lists: the runs of the job, who waits for a person, what failed, how many there are."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perdure.connectors.json_text import to_json
from perdure.errors import ConfigurationError
from perdure.operate.history import AsyncHistory, JobRow
from perdure.operate.lives import lives
from perdure.operate.lookup import outputs_of
from perdure.operate.meant_keys import keys_meant, runs_of_keys
from perdure.run import RunInfo, RunStatus, is_run_id, run_number, status_named
from perdure.web.bodies import number_in
from perdure.web.forms import error_form, milliseconds, process_form, run_form, wait_form
from perdure.web.operations import json_answer
from perdure.web.problems import Problem
from perdure.web.service import service_of

__all__ = ["failures", "hour", "inbox", "now", "runs", "summaries"]

MOST = 200  # items of one answer
LATEST = 9 * 10**12  # ms: in the year 2255, and in ns what a store can look for
_SUMMED = 100  # runs of one answer of summaries
_SUM_SECONDS = 0.3  # after which what is left of them is for the next answer
_SUM_CUT = 1024  # bytes of a value there: one line of it is shown
_NEWEST = 50  # failed runs that what is new is told of
_KINDS = 5  # of their failures
_PROCESSES = 50  # the newest
_LONGEST = 5  # of those who wait
_MINUTE = 60 * 10**9  # ns
_DAY = 1440 * _MINUTE
_SEARCH_SECONDS = 1.0  # after which a search says how far it looked


async def runs(request: Request) -> Response:
    """Answer with the newest runs, newest first."""
    service = service_of(request)
    query = request.query_params
    limit = number_in(query, "limit", 1, MOST, 50)
    wanted = _Wanted(query)
    most = service.limits.searched_runs

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        return await _found(history, job, wanted, query.get("after", ""), limit, most)

    return json_answer(await service.reader.read_json(read))


class _Wanted:
    """Which runs are asked for.

    Raises:
        Problem: the query says nothing that there could be.
    """

    def __init__(self, query: Mapping[str, str]) -> None:
        try:
            self.status = status_named(query["status"]) if "status" in query else None
        except ConfigurationError as error:
            raise Problem(400, str(error)) from None
        self.key = query.get("key")
        self.text = query.get("text", "").casefold()
        self.since = _time(query, "since")
        self.until = _time(query, "until")

    @property
    def is_search(self) -> bool:
        """Whether runs have to be looked at one by one."""
        return bool(self.text or self.until)

    async def has(self, history: AsyncHistory, job: JobRow, info: RunInfo) -> bool:
        """Say whether a run is among them; its status and key are asked of the store."""
        if self.until and info.admitted_at > self.until:
            return False
        if not self.text:
            return True
        parts = (info.id, info.label, info.key, info.input, info.activity, info.error)
        if any(self.text in _words(part) for part in parts if part is not None):
            return True
        outputs = await outputs_of(history, job, info.number)
        return any(self.text in _words(output.value) for output in outputs)


def _words(part: Any) -> str:
    return (part if isinstance(part, str) else to_json(part).decode()).casefold()


def _time(query: Mapping[str, str], name: str) -> int:
    """Return a time of a query in ns since the epoch, 0 without; it comes in ms."""
    return number_in(query, name, 0, LATEST, 0) * 1_000_000


async def _found(
    history: AsyncHistory, job: JobRow, wanted: _Wanted, after: str, limit: int, most: int
) -> dict[str, Any]:
    """Return a part of the list: fewer runs than may be, where a search has looked far enough."""
    keys = [None] if wanted.key is None else await keys_meant(history, job, wanted.key)
    deadline = time.monotonic() + _SEARCH_SECONDS
    found: list[RunInfo] = []
    looked = oldest = 0
    while True:
        # No more than there is room for: the store's cursor is behind all that was read.
        page = await runs_of_keys(
            history, job, keys, status=wanted.status, after=after, limit=limit - len(found)
        )
        after = page.after
        for info in page.items:
            if info.admitted_at < wanted.since:
                after = ""  # so are all behind it
                break
            looked, oldest = looked + 1, info.admitted_at
            if await wanted.has(history, job, info):
                found.append(info)
        is_far = looked >= most or time.monotonic() > deadline
        if not after or not wanted.is_search or is_far or 4 * len(found) > 3 * limit:
            break
    form: dict[str, Any] = {"runs": [run_form(info) for info in found], "after": after or None}
    if wanted.is_search:
        form["looked"] = {"runs": looked, "oldest": milliseconds(oldest), "all": not after}
    return form


async def summaries(request: Request) -> Response:
    """Answer with heads and summaries of the runs that are named."""
    service = service_of(request)
    wanted = request.query_params.get("runs", "").split(",")
    if len(wanted) > _SUMMED or not all(map(is_run_id, wanted)):
        raise Problem(400, f"name 1 to {_SUMMED} runs by their short ids: runs=r1,r2")
    known = service.summaries

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        deadline = time.monotonic() + _SUM_SECONDS
        found = await history.infos({run_number(job.job, each) for each in wanted})
        forms: list[dict[str, Any]] = []
        left: list[str] = []
        for info in found.values():
            if forms and time.monotonic() > deadline:
                left.append(info.id)
            else:
                forms.append({**run_form(info, _SUM_CUT), "work": await known.of(history, info)})
        return {"runs": forms, "left": left}

    return json_answer(await service.reader.read_json(read))


async def inbox(request: Request) -> Response:
    """Answer with what runs wait for from outside, those that wait longest first."""
    service = service_of(request)
    limit = number_in(request.query_params, "limit", 1, MOST, 50)

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        waits, count = await history.waits_and_count(job, limit=limit)
        return {"count": count, "waits": [wait_form(wait) for wait in waits]}

    return json_answer(await service.reader.read_json(read))


async def failures(request: Request) -> Response:
    """Answer with failed runs in groups of one kind and place, the largest first."""
    service = service_of(request)
    query = request.query_params
    limit = number_in(query, "limit", 1, 10_000, service.limits.searched_runs)

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        page = await history.runs_page(job, status=RunStatus.FAILED, limit=limit)
        return {
            "groups": _groups(page.items),
            "looked": {"runs": len(page.items), "all": not page.after},
        }

    return json_answer(await service.reader.read_json(read))


def _groups(failed: list[RunInfo]) -> list[dict[str, Any]]:
    """Return failed runs, the newest first, in groups."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for info in failed:
        if info.error is None:
            continue
        kind, place = info.error["type"], info.error["place"]
        # Without a place it is told apart by what was said.
        where = place or " ".join(info.error["message"].split())[:200]
        group = groups.setdefault(
            (kind, where),
            {
                "type": kind,
                "place": place or None,
                "message": error_form(info.error)["message"],  # type: ignore[index]
                "count": 0,
                "first": None,
                "last": milliseconds(info.finished_at),
                "example": info.id,
                "runs": [],
            },
        )
        group["count"] += 1
        group["first"] = milliseconds(info.finished_at)
        if len(group["runs"]) < MOST:
            group["runs"].append(info.id)
    return sorted(groups.values(), key=lambda group: -group["count"])


async def now(request: Request) -> Response:
    """Answer with how many runs stand how, and what this process has at work."""
    service = service_of(request)

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        waits, count = await history.waits_and_count(job, limit=_LONGEST)
        return {
            "job": job.title,
            "at": time.time_ns() // 1_000_000,
            "is_running": await history.is_owned(job),
            "runs": await history.counts(job),
            "waiting_for_people": count,
            "longest_waiting": [wait_form(wait) for wait in waits],
        }

    form = await service.reader.read(read)
    served = service.served
    if served is not None:
        form["process"] = dataclasses.asdict(served.job.progress)
        form["calls"] = served.job.snapshot().calls_by_state
        form["writes"] = served.writes()
    return json_answer(to_json(form))


async def hour(request: Request) -> Response:
    """Answer with the calls of the last hour by minute, the processes of it, and what failed."""
    service = service_of(request)
    since = _time(request.query_params, "since")
    most = service.limits.searched_runs

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        now = time.time_ns()
        minutes, known = await service.hour.look(history, job, now)
        failed = await history.view.count_failed(job.job, since or now - _DAY, limit=most)
        newest = await history.runs_page(job, status=RunStatus.FAILED, limit=_NEWEST)
        groups = sorted(_groups(newest.items), key=lambda group: -group["last"])
        processes = await lives(history, job)
        return {
            "at": milliseconds(now),
            "known_since": milliseconds(known * _MINUTE),
            "minutes": [
                {"at": milliseconds(number * _MINUTE), **dataclasses.asdict(minute)}
                for number, minute in sorted(minutes.items())
            ],
            "processes": [process_form(life) for life in processes[-_PROCESSES:]],
            "failed": {"runs": failed, "all": failed < most},
            "failures": groups[:_KINDS],
        }

    return json_answer(await service.reader.read_json(read))
