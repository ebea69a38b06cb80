"""G5: callables that make up attributes, as mocks and proxies do, are called as any other."""

from __future__ import annotations

import functools
import xmlrpc.client
from typing import Any
from unittest import mock

import pytest
from tests.promises.support import ONE, config_of, crash_and_resume, hold, out, pick

from perdure.codec.identity import annotated_types, check_awaitable


def plain(n: int) -> int:
    return n


async def coroutine(n: int) -> int:
    return n


class Server:
    """Hands every name on, without end."""

    def __getattr__(self, name: str) -> Server:
        return Server()

    def __call__(self, n: int) -> int:
        return 5


class Anything(Server):
    """Raises for what it is not asked for."""

    def __getattr__(self, name: str) -> Server:
        raise OSError(f"the server does not answer for {name}")


def mocks() -> dict[str, Any]:
    five = {"return_value": 5}
    return {
        "mock": mock.Mock(**five),
        "magic": mock.MagicMock(**five),
        "async": mock.AsyncMock(**five),
        "mock of a function": mock.Mock(spec=plain, **five),
        "magic of a function": mock.MagicMock(spec=plain, **five),
        "async of a function": mock.AsyncMock(spec=coroutine, **five),
        "of a coroutine function": mock.Mock(spec=coroutine, **five),
        "of a method": mock.MagicMock(spec=Server().__call__, **five),
        "of a partial": mock.Mock(spec=functools.partial(plain, 1), **five),
        "autospec": mock.create_autospec(plain, **five),
        "autospec of a coroutine function": mock.create_autospec(coroutine, **five),
        "wraps": mock.Mock(wraps=lambda n: n + 4),
    }


def test_g5_a_mock_is_called_once_and_its_result_is_replayed(kind: str, store: str) -> None:
    called = mocks()
    answers = [5] * len(called)

    async def go(event: Any, ctx: Any) -> None:
        found = [
            await ctx.durable_execute_async(func, 1, durable_id=name, reconciler=func)
            for name, func in called.items()
        ]
        found.append(await ctx.durable_execute_async(functools.partial(called["async"], 2)))
        await ctx.durable_execute_async(hold)
        out(ctx, found)

    def go_plain(event: Any, ctx: Any) -> None:
        found = [
            ctx.durable_execute_async(func, 1, durable_id=name, reconciler=func).result()
            for name, func in called.items()
        ]
        found.append(ctx.durable_execute_async(functools.partial(called["async"], 2)).result())
        ctx.durable_execute_async(hold).result()
        out(ctx, found)

    agent = pick(kind, go, go_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [[*answers, 5]]
    assert called.pop("async").call_args_list == [mock.call(1), mock.call(2)]
    assert all(each.call_count == 1 for each in called.values())


@pytest.mark.parametrize("proxy", [Server(), Anything()], ids=["hands on", "raises"])
def test_g5_a_proxy_is_not_asked_for_marks(proxy: Any, kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        called = functools.partial(proxy, 1)
        given = await ctx.durable_execute_async(proxy, [1])
        other = await ctx.durable_execute_async(called, reconciler=proxy)
        await ctx.durable_execute_async(hold)
        out(ctx, [given, other])

    def go_plain(event: Any, ctx: Any) -> None:
        called = functools.partial(proxy, 1)
        given = ctx.durable_execute(proxy, [1])
        other = ctx.durable_execute_async(called, reconciler=proxy).result()
        ctx.durable_execute_async(hold).result()
        out(ctx, [given, other])

    agent = pick(kind, go, go_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [[5, 5]]


def test_what_a_proxy_wraps_is_not_sought_without_end() -> None:
    method = xmlrpc.client.ServerProxy("http://127.0.0.1:9").add
    assert annotated_types(method) == ()
    check_awaitable(method)  # refuses nothing
