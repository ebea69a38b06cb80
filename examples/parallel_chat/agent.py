"""Several chats of one run at the same time, in two ways: gathered, and fanned out by events.

Run by itself it starts a small local model and asks it about two topics with each agent.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from perdure import (
    Agent,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    Event,
    InputEvent,
    LocalEngine,
    OutputEvent,
    ResourceType,
    RunnerContext,
    action,
    ask,
)
from perdure.testing import local_model

ASPECTS = ("history", "use", "price")
TOPICS = ["umbrellas", "bicycles"]


def question(topic: str, aspect: str) -> str:
    """Return what the model is asked."""
    return f"Write one short sentence about the {aspect} of {topic}."


class Gathered(Agent):
    """Makes the chats in one action: the shortest way."""

    @action(InputEvent)
    async def write(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Make three chats; all of them are under way before the first has an answer."""
        asked = [ask(ctx, "writer", question(event.input, aspect)) for aspect in ASPECTS]
        said = await asyncio.gather(*asked)
        ctx.send_event(OutputEvent(output=in_order(dict(zip(ASPECTS, said, strict=True)))))


class Noted(Event):
    """Says that the answer about an aspect is in the memory of the run."""

    aspect: str


class FanOut(Agent):
    """Does the same by events: joins three responses in the memory of the run."""

    @action(InputEvent)
    def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Send a request for each aspect; each is an action of its own, and they overlap."""
        for aspect in ASPECTS:
            request = ChatRequestEvent("writer", question(event.input, aspect))
            ctx.send_event(request)
            ctx.sensory_memory.set(f"asked.{request.id}", aspect)

    @action(ChatResponseEvent)
    def note(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
        """Put an answer down. Two may do so at the same moment: with `update` none is lost."""
        aspect = ctx.sensory_memory.get(f"asked.{event.request_id}")
        answer = (aspect, event.text)
        ctx.sensory_memory.update("answers", lambda answers: [*(answers or []), answer])
        ctx.send_event(Noted(aspect=aspect))

    @action(Noted)
    def join(self, event: Noted, ctx: RunnerContext) -> None:
        """Send the output, once: when all answers are there, and after the last one alone.

        It starts when `note` has completed, so it sees that answer and those before it.
        """
        answers = ctx.sensory_memory.get("answers")
        if len(answers) == len(ASPECTS) and answers[-1][0] == event.aspect:
            ctx.send_event(OutputEvent(output=in_order(dict(answers))))


def in_order(answers: dict[str, str]) -> dict[str, Any]:
    """Return the answers as they were asked for, whichever came first."""
    return {aspect: " ".join(answers[aspect].split()) for aspect in ASPECTS}


def main(store: str = "memory://") -> None:
    """Ask about all topics with both agents, and print the answers."""
    with local_model() as url:
        for agent in (Gathered(), FanOut()):
            name = type(agent).__name__
            writer = ChatModel("smollm2-135m-instruct", base_url=url, max_tokens=24)
            engine = LocalEngine(store, job=name)
            engine.add_resource("writer", ResourceType.CHAT_MODEL, writer)
            for output in engine.run(agent, TOPICS, key=lambda topic: topic):
                for aspect, answer in output.value.items():
                    print(f"{name}: {output.key}, {aspect}: {answer}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
