"""Event streams: the job's changes, a run's records, a run's outputs.

Read them with `fetch`: an EventSource sends no Authorization header. Each event but the last has an
id, which `Last-Event-ID` goes on from.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from perdure.connectors.json_text import to_json
from perdure.errors import PerdureError
from perdure.operate.history import AsyncHistory, JobRow
from perdure.operate.journal_lines import JournalLine, journal_lines
from perdure.operate.lookup import run_numbered
from perdure.run import RunInfo, run_id
from perdure.web.forms import error_form, line_form
from perdure.web.operations import json_answer
from perdure.web.problems import Problem, problem_of
from perdure.web.run_routes import id_in, info_of, values_of
from perdure.web.service import Service, service_of

__all__ = ["job_stream", "outputs", "run_stream"]

PING_SECONDS = 15  # of silence, after which a comment says that the stream is alive
_AT_ONCE = 500  # records in one event


async def job_stream(request: Request) -> Response:
    """Stream what is new in the job."""
    service = service_of(request)
    query = request.query_params
    since = query.get("since") or request.headers.get("last-event-id", "")
    return _Stream(service, _job_events(service, since))


async def _job_events(service: Service, since: str) -> AsyncGenerator[ServerSentEvent]:
    position = since
    async with contextlib.aclosing(service.watch.times()) as times:
        async for _ in times:
            new = await service.watch.changes(position)
            if not position:
                yield _event("position", {}, new.position)
            elif new.lost:  # read everything again
                yield _event("reset", {}, new.position)
            elif new.runs or new.statuses:
                runs = [run_id(run) for run in new.runs]
                yield _event("change", {"runs": runs, "statuses": new.statuses}, new.position)
            position = new.position


async def run_stream(request: Request) -> Response:
    """Stream the records of a run as they are written, until it has ended."""
    service = service_of(request)
    query = request.query_params
    after = _count(query.get("after") or request.headers.get("last-event-id", "0"))
    info = await info_of(service, id_in(request))  # 404 before anything is streamed
    return _Stream(service, _run_events(service, info, after))


async def _run_events(
    service: Service, info: RunInfo, after: int
) -> AsyncGenerator[ServerSentEvent]:
    told = ""
    async with contextlib.aclosing(service.watch.times()) as times:
        async for _ in times:
            while True:
                head, lines, is_there = await _new_records(service, info, after)
                if not is_there:  # the store is another one than the number is of
                    after = 0
                    yield _event("reset", {}, "0")
                    continue
                after += len(lines)
                if lines or head.status.value != told:
                    told = head.status.value
                    form = {"status": told, "records": [line_form(line) for line in lines]}
                    yield _event("records", form, str(after))
                if len(lines) < _AT_ONCE:
                    break
            if head.status.is_final:
                yield _event("end", {"status": told, "error": error_form(head.error)})
                return


async def _new_records(
    service: Service, info: RunInfo, after: int
) -> tuple[RunInfo, list[JournalLine], bool]:
    """Return a run's head, its records behind the first `after`, and whether there are as many."""

    async def read(history: AsyncHistory, job: JobRow) -> tuple[RunInfo, list[JournalLine], bool]:
        head = await run_numbered(history, job, info.number)
        lines = await journal_lines(history, info.number, after=after, limit=_AT_ONCE)
        is_there = bool(lines or not after) or bool(
            await journal_lines(history, info.number, after=after - 1, limit=1)
        )
        return head, lines, is_there

    return await service.reader.read(read)


async def outputs(request: Request) -> Response:
    """Answer with a run's outputs by now, or stream them until it has ended."""
    service = service_of(request)
    query = request.query_params
    after = _count(query.get("after") or request.headers.get("last-event-id", "0"))
    info = await info_of(service, id_in(request))
    if "text/event-stream" in request.headers.get("accept", ""):
        return _Stream(service, _output_events(service, info, after))
    found = await values_of(service, info.number)
    form = {
        "id": info.id,
        "status": info.status.value,
        "outputs": [
            {"number": number, "id": output.id, "value": output.value}
            for number, output in enumerate(found, 1)
            if number > after
        ],
    }
    return json_answer(to_json(form))


async def _output_events(
    service: Service, info: RunInfo, after: int
) -> AsyncGenerator[ServerSentEvent]:
    async with contextlib.aclosing(service.watch.times()) as times:
        async for _ in times:
            head = (await _new_records(service, info, 0))[0]  # before its outputs are read
            found = await values_of(service, info.number)
            for output in found[after:]:
                after += 1
                form = {"number": after, "id": output.id, "value": output.value}
                yield _event("output", form, str(after))
            if head.status.is_final:
                yield _event("end", {"status": head.status.value, "error": error_form(head.error)})
                return


def _count(text: str) -> int:
    """Return a number of records or outputs.

    Raises:
        Problem: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 13):
        raise Problem(400, f"{text[:40]!r} is no number of records or outputs: begin from 0")
    return int(text)


def _event(name: str, data: Any, id: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(to_json(data).decode(), event=name, id=id, sep="\n")


class _Stream(EventSourceResponse):
    """An event stream that just ends where its client takes nothing."""

    def __init__(self, service: Service, events: AsyncGenerator[ServerSentEvent]) -> None:
        super().__init__(
            _told(service, events), ping=PING_SECONDS, sep="\n",
            send_timeout=service.limits.send_seconds + 5,  # our own server's connections end before
        )  # fmt: skip
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.ExitStack() as counted:
            try:
                counted.enter_context(self._service.stream())
            except Problem as refused:
                await refused.response()(scope, receive, send)
                return
            with contextlib.suppress(SendTimeoutError):
                await super().__call__(scope, receive, send)


async def _told(
    service: Service, events: AsyncGenerator[ServerSentEvent]
) -> AsyncGenerator[ServerSentEvent]:
    """Yield events; what goes wrong is the last of them, and the end of the service is no such."""
    async with contextlib.aclosing(events):
        try:
            async for event in events:
                yield event
        except PerdureError as error:
            if service.is_draining:
                return
            problem = problem_of(error)
            yield _event("problem", {"status": problem.status, "detail": problem.detail})
