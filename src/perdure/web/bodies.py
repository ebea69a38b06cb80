"""What comes with a request: its JSON body, its query, its path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request

from perdure.connectors.json_text import json_value
from perdure.errors import did_you_mean
from perdure.web.problems import Problem
from perdure.web.service import Service

__all__ = ["body_of", "check_query", "number_in"]


async def body_of(request: Request, service: Service, fields: Collection[str]) -> dict[str, Any]:
    """Return the body, an object with none but these fields; nothing is an empty one.

    Raises:
        Problem: it is something else, too large, or does not come before the service is to stop.
    """
    data = await _received(request, service)
    if not data:
        return {}
    try:
        body = json_value(data)
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    except OverflowError as error:
        raise Problem(422, f"the body: {error}: send it as text") from None
    except ValueError as error:
        text = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise Problem(400, f"the body is no JSON: {text}") from None
    if not isinstance(body, dict):
        kind = type(body).__name__
        raise Problem(422, f"the body is a {kind}: send an object with {_listed(fields)}")
    _check_names(body, fields, "the body has")
    return body


async def _received(request: Request, service: Service) -> bytes:
    most, seconds = service.limits.body_bytes, service.limits.receive_seconds
    too_large = Problem(
        413,
        f"the body is larger than {most:,} bytes: keep large values elsewhere and send a reference",
        headers={"Connection": "close"},
    )
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with service.receiving(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        service.check_goes_on()
        raise Problem(
            408, f"the body did not come within {seconds:g} s", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise Problem(400, "the client left before its body had come") from None
    return b"".join(parts)


def check_query(request: Request, names: Collection[str], fields: Collection[str]) -> None:
    """Let a query have none but some parameters, each once.

    Args:
        request: whose query it is.
        names: of the parameters.
        fields: of the body.

    Raises:
        Problem: there is another, or one twice.
    """
    given = request.query_params.multi_items()
    for name, _ in given:
        if name in fields and name not in names:
            raise Problem(400, f"the query has {name!r}: send it in the JSON of the body")
    _check_names(request.query_params, names, "there is")
    if len(request.query_params) < len(given):
        raise Problem(400, "a parameter of the query stands there twice: give each once")


def number_in(query: Mapping[str, str], name: str, least: int, most: int, otherwise: int) -> int:
    """Return a whole number of a query.

    Raises:
        Problem: it is none, or out of bounds.
    """
    text = query.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise Problem(400, f"{name} is {text[:40]!r}: give a whole number from {least} to {most}")
    return int(text)


def _check_names(given: Collection[str], known: Collection[str], there: str) -> None:
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known, f"it takes {_listed(known)}", repr)
            raise Problem(
                400 if there == "there is" else 422, f"{there} an unknown {name[:40]!r}: {hint}"
            )


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
