"""The HTTP client of chat models: requests spread over pools, and pools closed when idle."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from perdure.integrations import llm_http


class Pool(httpx2.AsyncBaseTransport):
    """Stands for a pool of connections."""

    def __init__(self) -> None:
        self.requests = 0
        self.closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert not self.closed
        self.requests += 1
        await asyncio.sleep(0)
        if request.url.path == "/fails":
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200, stream=httpx2.ByteStream(b"hello"))

    async def aclose(self) -> None:
        self.closed = True


class Clock:
    """What `time.monotonic` says."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def pools() -> list[Pool]:
    return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(llm_http, "time", found)
    return found


def client_of(pools: list[Pool]) -> httpx2.AsyncClient:
    def make() -> Any:
        pools.append(Pool())
        return pools[-1]

    return httpx2.AsyncClient(transport=llm_http._spread(make))


async def fetched(client: httpx2.AsyncClient, number: int, path: str = "/") -> list[Any]:
    gets = (client.get(f"http://server{path}") for _ in range(number))
    return await asyncio.gather(*gets, return_exceptions=True)


def test_one_after_another_use_one_pool(pools: list[Pool], clock: Clock) -> None:
    async def main() -> None:
        async with client_of(pools) as client:
            for _ in range(100):
                (response,) = await fetched(client, 1)
                assert response.text == "hello"

    asyncio.run(main())
    assert [pool.requests for pool in pools] == [100]
    assert pools[0].closed


def test_many_at_once_use_several(pools: list[Pool], clock: Clock) -> None:
    async def main() -> None:
        async with client_of(pools) as client:
            await fetched(client, 100)
            assert [pool.requests for pool in pools] == [32, 32, 32, 4]
            await fetched(client, 64)  # those are free again
            assert [pool.requests for pool in pools] == [64, 64, 32, 4]

    asyncio.run(main())


def test_failed_requests_leave_their_pool(pools: list[Pool], clock: Clock) -> None:
    async def main() -> None:
        async with client_of(pools) as client:
            found = await fetched(client, 64, "/fails")
            assert {type(each) for each in found} == {httpx2.ConnectError}
            await fetched(client, 64)
            assert [pool.requests for pool in pools] == [64, 64]

    asyncio.run(main())


def test_pools_that_nobody_uses_are_closed(pools: list[Pool], clock: Clock) -> None:
    async def main() -> None:
        async with client_of(pools) as client:
            await fetched(client, 96)
            clock.now = 29.0
            await fetched(client, 1)
            assert not any(pool.closed for pool in pools)
            clock.now = 31.0
            await fetched(client, 1)
            await fetched(client, 1)
            await fetched(client, 1)
            assert [pool.closed for pool in pools] == [False, True, True]
            await fetched(client, 64)
            assert len(pools) == 4

    asyncio.run(main())


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mounted() -> bool:
        client = llm_http.http_client()
        found = bool(client._mounts)
        await client.aclose()
        return found

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert not asyncio.run(mounted())
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert asyncio.run(mounted())
