"""What a person does to a run: cancel, retry, signal, approve."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perdure.connectors.json_text import to_json
from perdure.run import RunInfo, own_name
from perdure.web.bodies import body_of
from perdure.web.operations import json_answer, token_of
from perdure.web.problems import Problem
from perdure.web.run_routes import id_in, info_of
from perdure.web.service import service_of

__all__ = ["approve", "cancel", "retry", "signal"]


async def cancel(request: Request) -> Response:
    """Stop a run; when this is answered it will never complete."""
    service = service_of(request)
    await body_of(request, service, ())
    job = await service.writing_job()
    info = await info_of(service, id_in(request))
    if not await job.cancel(own_name(info.id)):
        raise await _too_late(request, "there is nothing to cancel")
    return await _answer(request, 200)


async def retry(request: Request) -> Response:
    """Put a failed or cancelled run back into its key's queue."""
    service = service_of(request)
    await body_of(request, service, ())
    job = await service.writing_job()
    info = await info_of(service, id_in(request))
    if not await job.retry(own_name(info.id)):
        raise await _too_late(request, "only failed and cancelled runs can be retried")
    return await _answer(request, 200)


async def signal(request: Request) -> Response:
    """Send a run a signal; it is kept until an action waits for it."""
    service = service_of(request)
    body = await body_of(request, service, ("name", "value"))
    name = body.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 1000:
        raise Problem(422, 'the body has no name of a signal: send {"name": ..., "value": ...}')
    job = await service.writing_job()
    info = await info_of(service, id_in(request))
    if not await job.signal(own_name(info.id), name, body.get("value")):
        raise await _too_late(request, "no action waits for a signal")
    return await _answer(request, 200, name=name)


async def approve(request: Request) -> Response:
    """Answer a run that waits for an approval; the token's name says who did."""
    service, token = service_of(request), token_of(request)
    fields = ("name", "approved", "comment") if token else ("name", "approved", "comment", "by")
    body = await body_of(request, service, fields)
    approved = body.get("approved")
    if approved is None:  # a yes is said, and not what nothing is taken for
        raise Problem(
            400, 'the body has no answer: send {"approved": true}, or {"approved": false} to refuse'
        )
    if not isinstance(approved, bool):
        raise Problem(422, "approved is neither true nor false")
    by = token.name if token else _text(body, "by")
    job = await service.writing_job()
    info = await info_of(service, id_in(request))
    # PerdureError: it waits for none, or somebody was first.
    name = await job.approve(
        own_name(info.id),
        _text(body, "name"),
        approved=approved,
        by=by,
        comment=_text(body, "comment"),
    )
    return await _answer(request, 200, name=name, approved=approved, by=by)


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 10_000):
        raise Problem(422, f"{name} is no text of 1 to 10,000 characters")
    return value


async def _answer(request: Request, status: int, **more: Any) -> Response:
    info = await _now(request)
    return json_answer(to_json({"id": info.id, "status": info.status.value, **more}), status)


async def _too_late(request: Request, why: str) -> Problem:
    info = await _now(request)
    return Problem(409, f"run {info.id} is {info.status.value}: {why}")


async def _now(request: Request) -> RunInfo:
    return await info_of(service_of(request), id_in(request))
