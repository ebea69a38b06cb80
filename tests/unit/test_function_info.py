"""What the runtime finds out about a callable is found out once, where the callable lasts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent
from perdure.runtime.shared import services


@pytest.mark.parametrize(("name", "looks"), [("abs", 1), ("method", 3)])
def test_a_function_of_a_module_in_c_is_looked_at_once_and_a_method_each_time(
    name: str, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[object] = []
    identity = services.function_identity

    def noting(func: Any) -> str:
        looked_at.append(func)
        return identity(func)

    monkeypatch.setattr(services, "function_identity", noting)

    async def go(event: InputEvent, ctx: Any) -> None:
        called = abs if name == "abs" else "aba".count
        given: Any = -1 if name == "abs" else "a"
        calls = [
            ctx.durable_execute_async(called, given, durable_id=None if name == "abs" else "count")
            for _ in range(3)
        ]
        ctx.send_event(OutputEvent(output=sum(await asyncio.gather(*calls))))

    agent = Agent().add_action("go", InputEvent, go)
    found = LocalEngine("memory://").run(agent, [1], key=str)
    assert [each.value for each in found] == [3 if name == "abs" else 6]
    assert len(looked_at) == looks
