"""Agents that are named in several ways."""

from __future__ import annotations

from perdure import Agent, InputEvent, RunnerContext, action


class Plain(Agent):
    @action(InputEvent)
    async def act(self, event: InputEvent, ctx: RunnerContext) -> None: ...


class Named:
    class Inner(Plain): ...


class WithArguments(Plain):
    def __init__(self, name: str, size: int = 3) -> None:
        self.name = name


async def act(event: InputEvent, ctx: RunnerContext) -> None: ...


def make_agent() -> Agent:
    return WithArguments("made")


agent = WithArguments("here")
built = Agent().add_action("act", InputEvent, act)
