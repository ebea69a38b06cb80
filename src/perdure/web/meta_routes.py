"""What a service tells of itself: whether it lives and is ready, whose it is, what it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perdure.connectors.json_text import to_json
from perdure.errors import PerdureError, StoreError, StoreFormatError
from perdure.operate.history import AsyncHistory, JobRow
from perdure.web.openapi import VERSION
from perdure.web.operations import Handler, json_answer, token_of
from perdure.web.service import Service, service_of

__all__ = ["document_route", "health", "job", "readiness"]


async def health(_request: Request) -> Response:
    """Say that the process answers."""
    return json_answer(b'{"status":"ok"}')


async def readiness(request: Request) -> Response:
    """Say whether this is of use: the store can be read; with a job, runs may be started in it."""
    service = service_of(request)
    served, reason = service.served, ""
    if service.is_draining:
        reason = "the service is about to stop"
    elif served is not None and served.stopped_by is not None:
        reason = "the job was stopped"
    elif served is not None and not served.writes():
        reason = "the store does not write"
    else:
        reason = await _unread(service)
    if not reason:
        return json_answer(b'{"status":"ready"}')
    form = {"status": "not ready", "reason": reason}
    return json_answer(to_json(form), 503, {"Retry-After": "2"})


async def _unread(service: Service) -> str:
    """Return why the store cannot be read; "" where it can. Anyone may ask: it names no path."""
    try:
        await service.reader.read(_nothing)
    except StoreFormatError:
        return "the store is damaged, or of another version"
    except StoreError:
        return "the store is gone, or cannot be read"
    except PerdureError:
        return "the store does not have the job"
    return ""


async def _nothing(_history: AsyncHistory, _row: JobRow) -> None: ...


async def job(request: Request) -> Response:
    """Answer with whose job this is, and what the token may do."""
    service, token = service_of(request), token_of(request)

    async def read(history: AsyncHistory, row: JobRow) -> dict[str, Any]:
        return {
            "job": row.title,
            "store": history.view.url,
            "is_running": await history.is_owned(row),
            "is_served": service.served is not None,
            "version": VERSION,
            "token": {
                "name": token.name if token else None,
                "role": token.role.label if token else "operate",
            },
        }

    return json_answer(await service.reader.read_json(read))


def document_route(document: Callable[[], bytes]) -> Handler:
    """Return what answers with the OpenAPI document."""

    async def openapi(_request: Request) -> Response:
        return json_answer(document())

    return openapi
