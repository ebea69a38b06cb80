"""G8: what the loop of an action refuses, naming the way out.

Threads, connections and processes: test_isolation.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.support import OFF, ONE, agent_of, config_of, error_text, failures

REFUSED: dict[str, Callable[[Any], Any]] = {
    "run_in_executor": lambda loop: loop.run_in_executor(None, str, 1),
    "getaddrinfo": lambda loop: loop.getaddrinfo("localhost", 1),
    "add_reader": lambda loop: loop.add_reader(0, str),
    "add_signal_handler": lambda loop: loop.add_signal_handler(1, str),
    "create_server": lambda loop: asyncio.start_server(str, "localhost", 1),
    "create_datagram_endpoint": lambda loop: loop.create_datagram_endpoint(str),
    "sock_recv": lambda loop: loop.sock_recv(None, 1),
    "run_until_complete": lambda loop: loop.run_until_complete(None),
}


@pytest.mark.parametrize("method", REFUSED)
def test_g8_the_loop_of_a_coroutine_action_refuses_and_names_the_way_out(method: str) -> None:
    async def does_io(event: Any, ctx: Any) -> None:
        await REFUSED[method](asyncio.get_running_loop())

    message = error_text(failures(agent_of(does_io), ONE))
    for part in ("ActionLoopError", f"loop.{method}()", "ctx.durable_execute_async"):
        assert part in message


@pytest.mark.parametrize("plain_kind", ["plain", OFF])
@pytest.mark.parametrize("method", ["run_in_executor", "add_reader"])
def test_g8_so_does_that_of_a_plain_action(method: str, plain_kind: str) -> None:
    def does_io(event: Any, ctx: Any) -> None:
        REFUSED[method](asyncio.get_running_loop())

    message = error_text(failures(agent_of(does_io), ONE, config=config_of(plain_kind)))
    for part in ("ActionLoopError", f"loop.{method}()", "ctx.durable_execute_async"):
        assert part in message
