"""Pages of other sites: what a browser is told before it lets them use the service."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from perdure.errors import ConfigurationError
from perdure.web.problems import Problem

__all__ = ["CrossOrigin", "checked_origin", "stranger"]

_PORTS = {"http": "80", "https": "443"}  # which browsers leave out
_ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")


class CrossOrigin(CORSMiddleware):
    """An ASGI application around another; answers a browser's questions on behalf of some pages.

    A browser asks before it sends what a page of another site would, a preflight, and shows the
    page no answer but one that names its origin.

    Args:
        inner: what the pages use. It checks where requests come from itself.
        origins: of the pages, as browsers send them.
    """

    def __init__(self, inner: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            inner,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("Authorization", "Idempotency-Key", "Last-Event-ID"),
            expose_headers=("Location", "Retry-After"),
            allow_private_network=True,  # else a page of the internet could not use one in-house
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a question; who asks for another page is refused as its request would be."""
        origin = request_headers["origin"]
        if not self.is_allowed_origin(origin):
            return stranger(origin).response()
        return super().preflight_response(request_headers)


def stranger(origin: str) -> Problem:
    """Return the refusal of what the page of another site sends."""
    return Problem(
        403,
        f"a page of {origin[:100]!r} may not write here: name it with --allow-origin"
        " (origins= of perdure.web.app)",
    )


def checked_origin(given: str) -> str:
    """Return an origin as browsers send it.

    Raises:
        ConfigurationError: it is none.
    """
    found = _ORIGIN.fullmatch(given.lower())
    if found is None:
        raise ConfigurationError(f"origin {given!r}: write it as https://example.org")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _PORTS[scheme] else "")
