"""Runs an agent with typed output in a process of its own; it dies once after the answer came."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from pydantic import BaseModel
from tests.promises.chat_support import ByEvents, Inside, model
from tests.promises.support import die_once, note, out, run

from perdure.actions.chat import chat
from perdure.testing.scripted_chat import ScriptedChatModel


class Author(BaseModel):
    """Somebody who wrote a book."""

    name: str


@dataclasses.dataclass
class Book:
    """A book."""

    title: str
    author: Author


class Noting(ScriptedChatModel):
    """Leaves a line for each request."""

    async def chat(self, *args: Any, **kwargs: Any) -> Any:
        note("asked")
        return await super().chat(*args, **kwargs)


def shown(output: Any) -> str:
    """Say of what types the output is."""
    return f"{type(output).__name__} by {type(output.author).__name__} {output.author.name}"


class BetweenActions(ByEvents):
    """Dies between the answer and what is made of it."""

    def _end(self, event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(die_once).result()
        out(ctx, shown(event.response.output))


class InsideAnAction(Inside):
    """Dies after the answer, in the same action."""

    async def _go(self, event: Any, ctx: Any) -> None:
        answer = await chat(ctx, "m", "hi")
        await ctx.durable_execute_async(die_once)
        out(ctx, shown(answer.response.output))


def main() -> None:
    """Run the agent that the argument names; print its output."""
    connection = Noting(['{"title": "T", "author": {"name": "Ada"}}'])
    setup = model(connection=connection, output_schema=Book)
    agent = {"events": BetweenActions, "inside": InsideAnAction}[sys.argv[1]](setup)
    store = f"sqlite:///{os.environ['PROMISE_FOLDER']}/s.db"
    sys.stdout.write(run(agent, [{"k": "a"}], store=store)[0])


main()
