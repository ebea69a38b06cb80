"""Guard: what every request passes before its route, and what every answer has."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.web.access import Access, Token
from perdure.web.cross_origin import stranger
from perdure.web.limits import Rates
from perdure.web.problems import Problem
from perdure.web.service import Service
from perdure.web.unread import UnreadBody

__all__ = ["LOCAL_HOSTS", "PROBES", "Guard", "is_host"]

_HOST = re.compile(r"[^\s*]+")  # a star within a name would stand for nothing
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
PROBES = frozenset({"/healthz", "/readyz"})  # asked by address, and they tell nothing
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }.items()
)


class Guard:
    """An ASGI application around that of the routes; of bodies it drops what they left unread.

    Owns: the count of requests under way, the clients' rates. On one event loop.

    Args:
        inner: the routes.
        service: what they stand on.
        access: who may ask.
        hosts: names that a request may be for; with "*" any.
        origins: whose pages may write, besides the service's own; as browsers send them.
        prefix: path below which a proxy shows the service; it may be cut off, or not.
        open_paths: paths that need no token.
        open_below: nor does what is below this one.
    """

    def __init__(
        self,
        inner: ASGIApp,
        service: Service,
        access: Access,
        *,
        hosts: Collection[str],
        origins: Collection[str],
        prefix: str,
        open_paths: Collection[str],
        open_below: str,
    ) -> None:
        self._inner = inner
        self._service = service
        self._access = access
        self._hosts = frozenset(_host_name(host) for host in hosts)
        self._origins = frozenset(origins)
        self._prefix = prefix
        self._open_paths = frozenset(open_paths)
        self._open_below = open_below
        self._under_way = 0
        limits = service.limits
        self._rates = Rates(limits.rate, limits.burst)
        self._refused = Rates(limits.refused_rate, int(limits.refused_rate) + 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; other scopes go to the routes, which take none of them."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        scope, path = self._placed(scope)
        body = UnreadBody(scope, receive, self._service)
        end: Message | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal end
            if message["type"] == "http.response.start":
                headers = message["headers"]
                given = {name for name, _ in headers}
                message["headers"] = [*headers, *(h for h in _HEADERS if h[0] not in given)]
            elif not body.is_over and not message.get("more_body"):
                end = {"type": "http.response.body", "body": b""}
                message = {**message, "more_body": True}
            await send(message)

        self._under_way += 1
        try:
            self._check(scope, path)
        except Problem as problem:
            await problem.response()(scope, body.receive, send_with_headers)
        else:
            await self._inner(scope, body.receive, send_with_headers)
        finally:
            self._under_way -= 1
        if end is not None:  # nobody waits for that: all of the answer is on its way
            await body.take()
            await send(end)

    def _placed(self, scope: Scope) -> tuple[Scope, str]:
        """Return the scope below our prefix, and the path in it."""
        root: str = scope.get("root_path", "")
        path: str = scope["path"]
        rest = path.removeprefix(root) if root and path.startswith(root) else path
        prefix = self._prefix
        if not prefix:
            return scope, rest
        if rest == prefix or rest.startswith(f"{prefix}/"):
            rest = rest.removeprefix(prefix) or "/"
        root += prefix
        return {**scope, "root_path": root, "path": root + rest}, rest

    def _check(self, scope: Scope, path: str) -> None:
        if path in PROBES:
            return
        headers = Headers(scope=scope)
        self._check_host(headers)
        if self._under_way > self._service.limits.requests:
            raise Problem(
                503, f"{self._service.limits.requests:,} requests are under way: ask again",
                retry_after=1,
            )  # fmt: skip
        client = (scope.get("client") or ("",))[0]
        if path not in self._open_paths and not path.startswith(self._open_below):
            token = self._token(headers, client)
            scope["perdure.token"] = token
            wait = self._rates.wait_of(f"t:{token.name}" if token else f"a:{client}")
            if wait:
                raise Problem(429, "too many requests: ask less often", retry_after=wait)
        if scope["method"] not in _READS:
            self._check_write(headers, scope)

    def _check_host(self, headers: Headers) -> None:
        if "*" in self._hosts:
            return
        named = headers.getlist("host")
        if len(named) != 1 or _host_name(named[0]) not in self._hosts:
            shown = ", ".join(named)[:100]
            raise Problem(
                421,
                f"this service is not known as {shown!r}: name it with --allow-host"
                " (hosts= of perdure.web.app)",
            )

    def _token(self, headers: Headers, client: str) -> Token | None:
        """Return the request's token; None where nobody is asked for one."""
        if not self._access.asks:
            return None
        given = headers.getlist("authorization")
        token = self._access.token_of(given[0]) if len(given) == 1 else None
        if token is not None:
            return token
        if wait := self._refused.wait_of(client):
            raise Problem(429, "too many requests without a good token", retry_after=wait)
        wrong = "the token is not a good one" if given else "a token is needed"
        raise Problem(
            401,
            f"{wrong}: send `Authorization: Bearer TOKEN`; `perdure serve` prints it at its start",
            headers={"WWW-Authenticate": 'Bearer realm="perdure"'},
        )

    def _check_write(self, headers: Headers, scope: Scope) -> None:
        """Refuse what the page of another site may have a browser send."""
        origins = headers.getlist("origin")
        if any(not self._is_own(origin, headers, scope) for origin in origins):
            raise stranger(origins[0])
        if not origins and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Problem(403, "a page of another site may not write here")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(415, "send JSON, with the header `Content-Type: application/json`")

    def _is_own(self, origin: str, headers: Headers, scope: Scope) -> bool:
        origin = origin.lower().rstrip("/")
        if origin in self._origins:
            return True
        host = headers.get("host", "").lower()
        # The scheme may be that of a proxy, which the request does not tell.
        return bool(host) and origin in (f"http://{host}", f"https://{host}")


def is_host(host: str) -> bool:
    """Say whether requests can be for what was given as a host, or "*" for any."""
    name = _host_name(host)
    return name == "*" or (name.isascii() and _HOST.fullmatch(name) is not None)


def _host_name(host: str) -> str:
    """Return the name in a Host header, without its port, brackets and last dot; "" of none."""
    if host == "*":
        return host
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"  # an address of IPv6, as it is listed
    try:
        parts: Any = urlsplit(f"//{host.strip()}")
        name: str | None = parts.hostname
        _ = parts.port  # a wrong one raises
    except ValueError:
        return ""
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return ""
    return (name or "").removesuffix(".")
