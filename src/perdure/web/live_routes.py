"""What the job does at this moment, and the processes that had it."""

from __future__ import annotations

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perdure.connectors.json_text import to_json
from perdure.operate.history import AsyncHistory, JobRow
from perdure.operate.lives import lives
from perdure.web.forms import milliseconds, process_form
from perdure.web.operations import json_answer
from perdure.web.service import service_of

__all__ = ["live", "processes"]

_MOST = 200  # processes of one answer


async def live(request: Request) -> Response:
    """Answer with what the job does now, where that is seen: in the process that has it."""
    service = service_of(request)
    run = request.query_params.get("run")
    if service.served is None:
        return json_answer(b'{"is_visible":false}')
    seen = service.served.job.snapshot()
    form = {
        **dataclasses.asdict(seen),
        "is_visible": True,
        "at": milliseconds(seen.at),
        "pool": seen.pool._asdict(),
        "limits": {name: limit._asdict() for name, limit in seen.limits.items()},
        "calls": [_call_form(call) for call in seen.calls if run is None or call.run == run],
    }
    return json_answer(to_json(form))


def _call_form(call: Any) -> dict[str, Any]:
    form = dataclasses.asdict(call)
    return {**form, "since": milliseconds(call.since), "due": milliseconds(call.due)}


async def processes(request: Request) -> Response:
    """Answer with the processes that had the job, the newest first."""

    async def read(history: AsyncHistory, job: JobRow) -> dict[str, Any]:
        found = await lives(history, job)
        return {
            "count": len(found),
            "processes": [process_form(life) for life in found[: -_MOST - 1 : -1]],
        }

    return json_answer(await service_of(request).reader.read_json(read))
