"""G5: callables that make up attributes, as mocks and proxies do, are called as any other."""

from __future__ import annotations

import functools
import xmlrpc.client
from typing import Any
from unittest import mock

import pytest
from tests.promises.chat_support import Inside, model, said_by_tools, wants
from tests.promises.support import ONE, agent_of, config_of, crash_and_resume, hold, out, pick, run

from perdure.actions.chat import chat as ask
from perdure.codec.identity import annotated_types, check_awaitable
from perdure.llm.message import ChatMessage, MessageRole
from perdure.llm.tool import Tool
from perdure.resource import ResourceType
from perdure.testing.scripted_chat import ScriptedChatModel


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


def chats(answer: Any) -> dict[str, Any]:
    """Return mocks of the `chat` of a connection."""
    real = ScriptedChatModel(["not asked"])
    given = {"return_value": answer}
    return {
        "mock": mock.Mock(**given),
        "magic": mock.MagicMock(**given),
        "async": mock.AsyncMock(**given),
        "of it": mock.MagicMock(spec=real.chat, **given),
        "autospec": mock.create_autospec(real.chat, **given),
    }


@pytest.mark.parametrize("which", chats(None))
@pytest.mark.parametrize("whose", ["connection", "model"])
def test_g26_a_mock_of_a_chat_is_asked_once(which: str, whose: str, store: str) -> None:
    answered = ChatMessage(role=MessageRole.ASSISTANT, content="five")
    chat = chats(answered)[which]
    connection = ScriptedChatModel(["not asked"])
    setup = model(connection=connection, tools=[])
    replaced: Any = connection if whose == "connection" else setup
    replaced.chat = chat

    async def go(event: Any, ctx: Any) -> None:
        response = await ask(ctx, "m", "hi")
        await ctx.durable_execute_async(hold)
        out(ctx, response.response.content)

    agent = agent_of(go).add_resource("m", ResourceType.CHAT_MODEL, setup)
    assert crash_and_resume(agent, ONE, store=store) == ["five"]
    assert chat.call_count == 1


@pytest.mark.parametrize("which", ["mock", "async", "magic of a function", "autospec"])
def test_a_mock_in_the_place_of_a_tools_function_is_called(which: str) -> None:
    func = mocks()[which]
    replaced = Tool.from_callable(plain)
    replaced.func = func  # type: ignore[attr-defined]

    def script(messages: Any, tools: Any) -> Any:
        return " ".join(said_by_tools(messages)) or wants("plain", n=1)

    assert run(Inside(model(script, tools=[replaced])), ONE) == ["5"]
    assert func.call_args == mock.call(n=1)
