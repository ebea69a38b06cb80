"""Problems: what went wrong, as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import http
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from perdure.connectors.json_text import to_json
from perdure.errors import (
    ConfigurationError,
    EncodeError,
    InputError,
    PerdureError,
    RunNotFoundError,
    StoreError,
    StoreFormatError,
    UnknownCursorError,
    UnreadableAnswerError,
)
from perdure.printable import printable, printable_logger

__all__ = ["Problem", "answer_of", "problem_of"]

logger = printable_logger("perdure")

RETRY_SECONDS = 2  # after which a store that does not write may be asked again
_STATUSES: tuple[tuple[type[PerdureError], int], ...] = (
    (RunNotFoundError, 404),
    (UnknownCursorError, 400),
    (UnreadableAnswerError, 422),
    (EncodeError, 422),
    (ConfigurationError, 400),
    (InputError, 409),
    (StoreFormatError, 500),
    (StoreError, 503),
    (PerdureError, 409),  # what is asked for does not go with where the run stands
)


class Problem(Exception):
    """A request that is not answered as it wishes.

    Args:
        status: of the answer.
        detail: what, where and what to do next, in one line.
        retry_after: seconds after which it may be asked again.
        headers: more of the answer.
    """

    __journal_name__ = "perdure:Problem"

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def response(self) -> Response:
        """Return the answer."""
        title = http.HTTPStatus(self.status).phrase
        shown = {
            "type": "about:blank",
            "title": title,
            "status": self.status,
            "detail": printable(self.detail),
        }
        return Response(
            to_json(shown),
            self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def problem_of(error: Exception) -> Problem:
    """Return what a client is told of an error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):  # Starlette's own: no such route, or method
        detail = "there is nothing here: see /openapi.json" if error.status_code == 404 else ""
        headers = dict(error.headers or {})
        return Problem(error.status_code, detail or error.detail, headers=headers)
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            retry_after = RETRY_SECONDS if status == 503 else None
            if status == 500:
                logger.error("%s", error)
            return Problem(status, str(error), retry_after=retry_after)
    logger.error("a request failed: %s", type(error).__name__, exc_info=error)
    return Problem(500, f"{type(error).__name__}: the log of the service has where")


async def answer_of(_request: Request, error: Exception) -> Response:
    """Answer a request that ended in an error; Starlette's form of a handler."""
    return problem_of(error).response()
