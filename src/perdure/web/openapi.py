"""The OpenAPI document, made of the operations."""

from __future__ import annotations

import http
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from perdure.connectors.json_text import to_json
from perdure.web.operations import Operation
from perdure.web.schemas import COMPONENTS, ref

__all__ = ["VERSION", "document"]

VERSION = version("perdure")  # read from a file, so not while requests are answered

_ALWAYS = (400, 401, 403, 421, 429)  # of what needs a token
_WITH_BODY = (408, 413, 415, 422)


def document(operations: Sequence[Operation], prefix: str) -> bytes:
    """Return the document as JSON.

    Args:
        operations: all that there are.
        prefix: the path that they are below.
    """
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return to_json(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "perdure",
                "version": VERSION,
                "description": "Start runs of a job, wait for them, look at them, act on them."
                " Errors are application/problem+json.",
            },
            "servers": [{"url": prefix or "/"}],
            "security": [{"token": []}],
            "paths": paths,
            "components": {
                "schemas": COMPONENTS,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _operation(each: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.text.partition(". ")[0].rstrip("."),
        "description": each.text,
        "parameters": _parameters(each),
        "responses": _responses(each),
    }
    if each.role is None:
        made["security"] = []
    else:
        made["description"] += f" Needs a token that may {each.role.label}."
    if each.body is not None:
        made["requestBody"] = {
            "required": bool(each.body.get("required")),
            "content": {"application/json": {"schema": each.body}},
        }
    return made


def _parameters(each: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", each.path)
    ]
    return in_path + [
        {
            "name": parameter.name,
            "in": parameter.place,
            "description": parameter.text,
            "required": parameter.is_required,
            "schema": dict(parameter.schema),
        }
        for parameter in each.parameters
    ]


def _responses(each: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for status, schema in each.answers.items():
        made[str(status)] = _response(status, each.media_type, schema)
        if status == 202 or each.name == "startRun":
            made[str(status)]["headers"] = {"Location": {"schema": {"type": "string"}}}
    if each.streams:
        stream = made.setdefault("200", {"description": "Events.", "content": {}})
        stream["content"]["text/event-stream"] = {}  # what events there are, `text` says
    for status in _problems(each):
        made[str(status)] = _response(status, "application/problem+json", ref("Problem"))
    return made


def _problems(each: Operation) -> Sequence[int]:
    found = {*each.problems} if each.role is None else {*_ALWAYS, 503, *each.problems}
    if each.body is not None:
        found |= {*_WITH_BODY}
    return sorted(found - set(each.answers))


def _response(status: int, media_type: str, schema: Any) -> dict[str, Any]:
    return {
        "description": http.HTTPStatus(status).phrase,
        "content": {media_type: {"schema": schema}},
    }
