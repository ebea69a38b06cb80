"""Opinions: three chat models are asked at the same time, and heard when all have answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    prompt,
)
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceDescriptor
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import Tool
from tests.flink_agents.agents.witness import called, reached

MODELS = ("optimist", "pessimist", "realist")


class OpinionConnection(BaseChatModelConnection):
    """Answers in the mood of the model that is asked."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        called(f"chat {kwargs['model']}")
        moods = {"optimist": "good", "pessimist": "bad", "realist": "as it is"}
        asked = " / ".join(each.content for each in messages)
        return ChatMessage(
            role=MessageRole.ASSISTANT, content=f"{moods[kwargs['model']]} ({asked})"
        )


class OpinionSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model}


class OpinionAgent(Agent):
    """Asks all models, and tells what they said when the last has answered."""

    @prompt
    @staticmethod
    def manner() -> Prompt:
        return Prompt.from_messages(
            [
                ChatMessage(role=MessageRole.SYSTEM, content="In {words} words."),
                ChatMessage(role=MessageRole.USER, content="What of {subject}?"),
            ]
        )

    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=OpinionConnection)

    @chat_model_setup
    @staticmethod
    def optimist() -> ResourceDescriptor:
        return _setup("optimist")

    @chat_model_setup
    @staticmethod
    def pessimist() -> ResourceDescriptor:
        return _setup("pessimist")

    @chat_model_setup
    @staticmethod
    def realist() -> ResourceDescriptor:
        return _setup("realist")

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        subject = InputEvent.from_event(event).input
        for model in MODELS:
            request = ChatRequestEvent(
                model=model,
                messages=[ChatMessage(role=MessageRole.USER)],
                prompt_args={"subject": subject, "words": 3},
            )
            ctx.sensory_memory.set(f"asked.{request.id.hex}", model)
            ctx.send_event(request)

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def hear(event: Event, ctx: RunnerContext) -> None:
        reached("hear")
        answer = ChatResponseEvent.from_event(event)
        model = ctx.sensory_memory.get(f"asked.{answer.request_id.hex}")
        ctx.sensory_memory.set(f"heard.{model}", answer.response.content)
        heard = ctx.sensory_memory.get("heard")
        if set(heard.get_field_names()) == set(MODELS):
            ctx.send_event(OutputEvent(output={each: heard.get(each) for each in MODELS}))


def _setup(model: str) -> ResourceDescriptor:
    return ResourceDescriptor(clazz=OpinionSetup, connection="server", model=model, prompt="manner")


INPUTS: list[dict[str, Any]] = [{"key": "k", "value": "rain"}, {"key": "k", "value": "snow"}]
OUTPUTS: list[dict[Any, Any]] = [
    {
        "k": {
            "optimist": f"good (In 3 words. / What of {each}?)",
            "pessimist": f"bad (In 3 words. / What of {each}?)",
            "realist": f"as it is (In 3 words. / What of {each}?)",
        }
    }
    for each in ("rain", "snow")
]
CALLS = [f"chat {each}" for each in MODELS] * 2


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(OpinionAgent()).to_list()
    env.execute("opinions")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
