"""HttpClient: one HTTP client for all runs of a job; its requests are durable calls."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from perdure.checks import checked_timeout
from perdure.errors import RetryableError, TerminalError, missing_extra
from perdure.integrations.retry_after import seconds_in
from perdure.resource import Resource, ResourceType

if TYPE_CHECKING:
    import httpx2

__all__ = ["HttpClient", "HttpResponse"]

_RETRYABLE: Final = frozenset((408, 425, 429))
_SHOWN: Final = 200


@dataclasses.dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a server answered, as the journal keeps it.

    Attributes:
        status: The status, such as 200.
        headers: Headers by their names in lower case.
        text: The body as text.
    """

    __journal_name__ = "perdure:HttpResponse"

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        """Return the body's value.

        Raises:
            TerminalError: The body is no JSON.
        """
        try:
            return json.loads(self.text)
        except ValueError as error:
            shown = self.text[:_SHOWN]
            raise TerminalError(f"HTTP {self.status}: no JSON ({error}): {shown!r}") from None


class HttpClient(Resource):
    """An HTTP client that is opened with the job, and shared by all its runs.

    An action makes a request by a durable call of a method, so that what was answered is not asked
    again: `await ctx.durable_execute_async(shop.get, "/orders/7")`. A status of 500 or more, 408,
    425, 429 and a connection that fails are a RetryableError, which a retry policy tries again
    (after what `Retry-After` says); any other from 400 on is a TerminalError. Redirects are
    followed. In the journal are the arguments and the answer, not the client's own headers: put
    keys there.

    Args:
        base_url: What the addresses of requests begin with.
        headers: Sent with each request.
        timeout: Seconds that connecting, or waiting for the next bytes, may take;
            None for no limit.
        **options: Further arguments of `httpx2.AsyncClient`.

    Raises:
        ConfigurationError: The extra `llm` is not installed, or `timeout` is no positive number.
    """

    __journal_name__ = "perdure:HttpClient"

    RESOURCE_TYPE: ClassVar = ResourceType.HTTP_CLIENT

    def __init__(
        self,
        base_url: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = 30.0,
        **options: Any,
    ) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise missing_extra("HttpClient", "llm", error) from error
        self._library = httpx2
        if not isinstance(timeout, httpx2.Timeout):
            timeout = checked_timeout(timeout)
        self._options: dict[str, Any] = {
            "base_url": base_url, "headers": dict(headers or {}), "timeout": timeout,
            "follow_redirects": True, **options,
        }  # fmt: skip
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        # Reading the certificates takes some milliseconds.
        self._client = await asyncio.to_thread(self._library.AsyncClient, **self._options)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def journaled_types(self) -> tuple[type, ...]:
        return (HttpResponse,)

    async def get(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> HttpResponse:
        """Get what is at an address; see `request`."""
        return await self.request("GET", url, params=params, headers=headers, accept=accept)

    async def post(
        self,
        url: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> HttpResponse:
        """Send a JSON value to an address; see `request`."""
        return await self.request("POST", url, json=json, headers=headers, accept=accept)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> HttpResponse:
        """Make one request.

        Args:
            method: Such as "PUT".
            url: An address, or what comes behind `base_url`.
            params: What is asked behind the address's `?`.
            json: The body, a JSON value; None: no body.
            headers: Sent with this request, and journaled.
            accept: Statuses from 400 on that are an answer here, such as 404.

        Raises:
            RetryableError: This attempt failed, another may succeed.
            TerminalError: The server refuses the request, or there cannot be such a request.
            ConfigurationError: No job has opened the client.
        """
        _ = self.context  # says so where no job has opened it
        assert self._client is not None
        body = {} if json is None else {"json": json}
        try:
            response = await self._client.request(
                method, url, params=params, headers=headers, **body
            )
        except (self._library.UnsupportedProtocol, self._library.InvalidURL) as error:
            raise TerminalError(f"{method} {url}: {error}") from error
        except self._library.TransportError as error:
            raise RetryableError(f"{method} {url}: {type(error).__name__} {error}") from error
        status = response.status_code
        if status < 400 or status in accept:
            return HttpResponse(status, dict(response.headers), response.text)
        said = f"{method} {url}: HTTP {status}: {' '.join(response.text[:_SHOWN].split())}"
        if status in _RETRYABLE or status >= 500:
            raise RetryableError(said, retry_after=seconds_in(response.headers.get("retry-after")))
        raise TerminalError(said)
