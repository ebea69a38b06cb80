"""Translating: a connection and a setup of the user's own, with fields, checks and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import action, chat_model_connection, chat_model_setup
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import Tool
from pydantic import Field, PrivateAttr, field_validator
from tests.flink_agents.agents.witness import called


class DictionaryConnection(BaseChatModelConnection):
    """Knows a few words; open, it has them by the word."""

    words: list[str] = Field(description="Pairs, such as `tea=Tee`.")
    timeout: float = Field(default=30.0, gt=0)
    _known: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("words")
    @classmethod
    def pairs(cls, words: list[str]) -> list[str]:
        if any("=" not in each for each in words):
            raise ValueError("write words as pairs, such as tea=Tee")
        return words

    def open(self) -> None:
        self._known = dict(each.split("=") for each in self.words)

    def close(self) -> None:
        called("close")
        self._known.clear()

    def chat(
        self,
        messages: Sequence[ChatMessage],
        tools: list[Tool] | None = None,
        output_schema: Any = None,
        **kwargs: Any,
    ) -> ChatMessage:
        called(f"translate {messages[-1].content}")
        rest, thought = self._extract_reasoning("<think>easy</think> " + messages[-1].content)
        assert thought == "easy"
        text = " ".join(self._known.get(each, kwargs["unknown"]) for each in rest.split())
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content=text.upper() if kwargs["loud"] else text,
            extra_args={"model_name": kwargs["model"], "promptTokens": 2, "completionTokens": 1},
        )


class TranslatingSetup(BaseChatModelSetup):
    loud: bool = False
    unknown: str = "?"

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model, "loud": self.loud, "unknown": self.unknown}

    def chat(
        self,
        messages: Sequence[ChatMessage],
        prompt_args: Any = None,
        **kwargs: Any,
    ) -> ChatMessage:
        found = super().chat(messages, prompt_args, **kwargs)
        return found.model_copy(update={"content": f"{found.content}."})


class TranslatingAgent(Agent):
    """Translates by an event, and straight, with another option."""

    @chat_model_connection
    @staticmethod
    def dictionary() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=DictionaryConnection, words=["tea=Tee", "and=und"])

    @chat_model_setup
    @staticmethod
    def translator() -> ResourceDescriptor:
        return ResourceDescriptor(
            clazz=TranslatingSetup, connection="dictionary", model="words-1", unknown="..."
        )

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def translate(event: Event, ctx: RunnerContext) -> None:
        text = InputEvent.from_event(event).input
        setup = ctx.get_resource("translator", ResourceType.CHAT_MODEL)
        assert isinstance(setup, TranslatingSetup)
        loud = setup.chat([ChatMessage(content="tea")], loud=True)
        ctx.short_term_memory.set("loud", loud.content)
        ctx.send_event(ChatRequestEvent("translator", [ChatMessage(content=text)]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        tokens = ctx.agent_metric_group.get_counter("answers")
        tokens.inc()
        ctx.send_event(
            OutputEvent(output=[event.response.content, ctx.short_term_memory.get("loud")])
        )


INPUTS: list[dict[str, Any]] = [{"key": "k", "value": "tea and cake"}]
OUTPUTS: list[dict[Any, Any]] = [{"k": ["Tee und ....", "TEE."]}]
CALLS = ["translate tea", "translate tea and cake", "close"]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(TranslatingAgent()).to_list()
    env.execute("translating")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
