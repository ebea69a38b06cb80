"""Flaky: a provider that fails at first, and is asked again after a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.core_options import AgentExecutionOptions, ErrorHandlingStrategy
from flink_agents.api.decorators import action, chat_model_connection, chat_model_setup
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import Tool
from tests.flink_agents.agents import witness


class FlakyConnection(BaseChatModelConnection):
    """Fails the first time that it is asked for something."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        asked = messages[-1].content
        is_known = asked in witness.shelf()
        witness.called(f"ask {asked} {'again' if is_known else 'first'}")
        if not is_known:
            witness.put(asked, True)
            raise ConnectionError(f"{asked} is busy")
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"{asked} it is")


class FlakySetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


class FlakyAgent(Agent):
    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=FlakyConnection)

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=FlakySetup, connection="server")

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        text = InputEvent.from_event(event).input
        ctx.send_event(ChatRequestEvent("model", [ChatMessage(content=text)]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        witness.reached("answer")
        ctx.send_event(
            OutputEvent(
                output={
                    "said": event.response.content,
                    "retries": event.retry_count,
                    "waited": event.total_retry_wait_sec,
                }
            )
        )


INPUTS: list[dict[str, Any]] = [{"key": "k", "value": "tea"}, {"key": "k", "value": "milk"}]
OUTPUTS: list[dict[Any, Any]] = [
    {"k": {"said": f"{each} it is", "retries": 1, "waited": 1}} for each in ("tea", "milk")
]
CALLS = ["ask tea first", "ask tea again", "ask milk first", "ask milk again"]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    config = env.get_config()
    config.set(AgentExecutionOptions.ERROR_HANDLING_STRATEGY, ErrorHandlingStrategy.RETRY)
    config.set(AgentExecutionOptions.MAX_RETRIES, 2)
    config.set(AgentExecutionOptions.RETRY_WAIT_INTERVAL, 1)
    outputs = env.from_list(INPUTS).apply(FlakyAgent()).to_list()
    env.execute("flaky")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
