"""Operation: one method of one path, with all that is said of it: who may, what it takes, gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perdure.web.access import Role, Token
from perdure.web.bodies import check_query
from perdure.web.problems import Problem, problem_of

__all__ = ["Handler", "Operation", "Parameter", "json_answer", "routes_of", "token_of"]

Handler = Callable[[Request], Awaitable[Response]]


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query or a header."""

    __journal_name__ = "perdure:Parameter"

    name: str
    text: str
    schema: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"type": "string"})
    place: str = "query"
    is_required: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a client may ask.

    Attributes:
        method: GET or POST.
        path: with parameters in braces.
        handler: what answers.
        role: the least that its client needs; None: anyone may.
        name: of the operation, unique.
        text: what it does, for people.
        parameters: of the query and of headers.
        body: JSON schema of its body; None: it takes none.
        answers: what it answers, by status; a JSON schema, or a text where it is no JSON.
        problems: statuses that it may be refused with, besides those that all may be.
        streams: it answers with an event stream, also or alone.
        media_type: of what it answers with.
    """

    __journal_name__ = "perdure:Operation"

    method: str
    path: str
    handler: Handler
    role: Role | None
    name: str
    text: str
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Any] | None = None
    answers: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    problems: Sequence[int] = ()
    streams: bool = False
    media_type: str = "application/json"


def routes_of(operations: Sequence[Operation]) -> list[Route]:
    """Return the routes, one a path; one that stands before another is tried first."""
    paths: dict[str, dict[str, Operation]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = each
    return [Route(path, _answering(found), methods=list(found)) for path, found in paths.items()]


def token_of(request: Request) -> Token | None:
    """Return the token that a request came with; None where nobody is asked for one."""
    token: Token | None = request.scope.get("perdure.token")
    return token


def _answering(operations: Mapping[str, Operation]) -> Handler:
    async def answer(request: Request) -> Response:
        operation = operations.get(request.method) or operations["GET"]  # also for HEAD
        try:
            _check_role(operation, token_of(request))
            if request.scope["query_string"]:
                _check_query(operation, request)
            return await operation.handler(request)
        except Exception as error:
            return problem_of(error).response()

    return answer


def _check_query(operation: Operation, request: Request) -> None:
    if operation.role is None:  # who asks for them by address may add what no cache knows
        return
    names = [each.name for each in operation.parameters if each.place == "query"]
    check_query(request, names, (operation.body or {}).get("properties", ()))


def _check_role(operation: Operation, token: Token | None) -> None:
    role = operation.role
    if role is not None and token is not None and token.role < role:
        raise Problem(
            403,
            f"the token of {token.name!r} may {token.role.label}: this needs one that may"
            f" {role.label}",
        )


def json_answer(
    data: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer of JSON text."""
    return Response(data, status, headers=headers, media_type="application/json")
