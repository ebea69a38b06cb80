"""Runs as programs use them: start one, wait for it, look at it, get its outputs."""

from __future__ import annotations

import urllib.parse
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perdure.connectors.json_text import to_json
from perdure.engine.job import Run
from perdure.errors import InputError
from perdure.operate.history import AsyncHistory, JobRow
from perdure.operate.lookup import outputs_of, run_of_input
from perdure.run import Output, RunInfo, RunStatus, own_name
from perdure.web.bodies import body_of
from perdure.web.forms import error_form, milliseconds, wait_form
from perdure.web.limits import LONGEST_WAIT
from perdure.web.operations import json_answer
from perdure.web.problems import Problem
from perdure.web.service import Service, service_of

__all__ = ["id_in", "info_of", "look", "look_by_id", "submit", "values_of"]

_FIELDS = ("key", "value", "id", "wait")
_LONGEST_ID = 1000


async def submit(request: Request) -> Response:
    """Start a run, or find the one that was started with the same id."""
    service = service_of(request)
    body = await body_of(request, service, _FIELDS)
    for field in ("key", "value"):
        if field not in body:
            raise Problem(422, f"the body has no {field!r}: send key and value of the input")
    id_ = _given_id(request, body)
    seconds = _wait(body.get("wait"))
    job = await service.writing_job()
    try:
        run = await job.submit(body["value"], key=body["key"], id=id_)
    except InputError as error:
        raise Problem(409, str(error)) from None
    if await _has_ended(service, run, request, seconds):
        return json_answer(
            to_json(await _ended_form(service, run)),
            201 if run.is_new else 200,
            _location(request, run.id),
        )
    form = {"id": run.id, "status": run.status.value, "outputs": [], "error": None}
    return json_answer(to_json(form), 202, _location(request, run.id))


def _given_id(request: Request, body: dict[str, Any]) -> str | int | None:
    """Return the id in the body, or in the header Idempotency-Key.

    Raises:
        Problem: it is none, or they are two: the header's is a text.
    """
    id_ = body.get("id")
    if id_ is not None and (isinstance(id_, bool) or not isinstance(id_, str | int)):
        raise Problem(422, "id is no text and no whole number: send one of them, or none")
    header = request.headers.getlist("idempotency-key")
    if header:
        named = _utf8(header[0]).strip()
        if len(named) > 1 and named[0] == named[-1] == '"':  # a text of a structured header
            named = named[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        # A number is another id than the text that reads like it.
        if len(header) > 1 or (id_ is not None and named != id_):
            raise Problem(400, "the body's id and the Idempotency-Key differ: send one of them")
        id_ = named if id_ is None else id_
    if isinstance(id_, str) and not 0 < len(id_) <= _LONGEST_ID:
        raise Problem(422, f"id has {len(id_):,} characters: send 1 to {_LONGEST_ID:,}")
    return id_


def _utf8(header: str) -> str:
    """Return the text that was sent in a header, which was read as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Problem(
            400, "the Idempotency-Key is no UTF-8: send it so, or id in the body"
        ) from None


def _wait(wait: Any, status: int = 422) -> float:
    """Return the seconds that a client wants to wait; `status` is of the refusal.

    Raises:
        Problem: it is neither a boolean nor such a number.
    """
    if wait is None or isinstance(wait, bool):
        return LONGEST_WAIT if wait else 0.0
    if isinstance(wait, int | float) and 0 <= wait <= LONGEST_WAIT:
        return float(wait)
    raise Problem(
        status,
        f"wait is {str(wait)[:40]}: send true or seconds up to {LONGEST_WAIT:g}; a run that takes"
        " longer is answered with 202, and its Location has it",
    )


async def _has_ended(service: Service, run: Run, request: Request, seconds: float) -> bool:
    """Wait for a run's end; False where the time is over, or the client has left."""
    if run.status.is_final or not seconds:
        return run.status.is_final
    try:
        await service.awaited(run.wait(), _left(request), seconds)
    except Exception as error:
        text = f"run {run.id} goes on when its job does: {error}"
        raise Problem(503, text, retry_after=5) from None
    return run.status.is_final


async def _left(request: Request) -> None:
    """Return when the client has left; nothing else comes behind its body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _location(request: Request, run: str) -> dict[str, str]:
    root = urllib.parse.quote(request.scope.get("root_path", ""), safe="/")
    # Another client may give an input the id that reads like this run's own.
    return {"Location": f"{root}/runs/{own_name(run)}"}


async def _ended_form(service: Service, run: Run) -> dict[str, Any]:
    """Return the result of a run that has ended."""
    if run.status is not RunStatus.COMPLETED:
        info = await info_of(service, own_name(run.id))
        return await result_of(service, info)
    outputs = [output.value for output in await run.outputs()]
    return {"id": run.id, "status": run.status.value, "outputs": outputs, "error": None}


async def info_of(service: Service, id_: str) -> RunInfo:
    """Return a run by its short id, or by the id that was given with its input."""

    async def read(history: AsyncHistory, job: JobRow) -> RunInfo:
        return await history.run(job, id_)

    return await service.reader.read(read)


async def values_of(service: Service, run: int) -> list[Output]:
    """Return the outputs of a run by now, by its number."""
    if service.served is not None:  # its values are made by the types that the agent knows
        return await service.served.outputs_of(run)

    async def read(history: AsyncHistory, job: JobRow) -> list[Output]:
        return await outputs_of(history, job, run)

    return await service.reader.read(read)


async def result_of(service: Service, info: RunInfo) -> dict[str, Any]:
    """Return what came of a run by now: id, status, outputs, error."""
    return {
        "id": info.id,
        "status": info.status.value,
        "outputs": [output.value for output in await values_of(service, info.number)],
        "error": error_form(info.error),
    }


def id_in(request: Request) -> str:
    """Return the id of a run in a path."""
    return str(request.path_params["run"])


async def look(request: Request) -> Response:
    """Answer with a run by its short id, or by the id that was given with its input."""
    service, id_ = service_of(request), id_in(request)
    query = request.query_params
    if "wait" in query:
        await _wait_for(service, id_, request, _seconds_in(query["wait"]))
    return await _run_answer(service, await info_of(service, id_))


def _seconds_in(text: str) -> float:
    try:
        return _wait(True if text == "true" else float(text), status=400)
    except ValueError:
        return _wait(text, status=400)


async def _wait_for(service: Service, id_: str, request: Request, seconds: float) -> None:
    if service.served is None:
        raise Problem(400, "this service only shows a store: wait with /runs/RUN/stream")
    service.job()
    run = service.served.run_of(await info_of(service, id_))
    await _has_ended(service, run, request, seconds)


async def look_by_id(request: Request) -> Response:
    """Answer with the run whose input was given with an id."""
    service = service_of(request)
    query = request.query_params
    if "id" not in query:
        raise Problem(400, "the query has no id: ask /runs/by-id?id=ID")

    async def read(history: AsyncHistory, job: JobRow) -> RunInfo:
        return await run_of_input(history, job, query["id"])

    return await _run_answer(service, await service.reader.read(read))


async def _run_answer(service: Service, info: RunInfo) -> Response:
    form = {
        **await result_of(service, info),
        "key": info.key,
        "sequence": info.sequence,
        "title": info.title,
        "input_id": info.input_id,
        "attempts": info.attempts + 1,
        "activity": info.activity,
        "waits": [wait_form(wait) for wait in info.waits],
        "admitted_at": milliseconds(info.admitted_at),
        "finished_at": milliseconds(info.finished_at),
        "due": milliseconds(info.due) if info.is_delayed else None,
    }
    return json_answer(to_json(form))
