"""Reviews: an agent that a YAML file declares, in the words of 0.3 and of 0.4."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import Tool
from pydantic import BaseModel
from tests.flink_agents.agents.witness import called


class Review(BaseModel):
    product: str
    text: str


class ReviewConnection(BaseChatModelConnection):
    bad_words: list[str]

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        system, user = messages[0], messages[1]
        assert system.content == 'Answer as {"score": 5}, of 5.'
        assert kwargs == {"model": "words"}
        bad = [each for each in self.bad_words if each in user.content]
        answered = messages[-1].role == MessageRole.TOOL
        if "broken" in bad and not answered:
            call = {"id": "1", "type": "function"}
            function = {"name": "notify_shipping", "arguments": {"review": user.content}}
            return ChatMessage(
                role=MessageRole.ASSISTANT, content="", tool_calls=[{**call, "function": function}]
            )
        said = {"score": 5 - 2 * len(bad), "told": messages[-1].content if answered else None}
        return ChatMessage(role=MessageRole.ASSISTANT, content=json.dumps(said))


class ReviewSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model}


def notify_shipping(review: str, product: str, desk: str) -> str:
    """Tell shipping that something came broken.

    Parameters
    ----------
    review : str
        What the customer says.
    product : str
        The product.
    desk : str
        Whom to tell.
    """
    called(f"notify {desk} of {product}")
    return f"{desk} knows"


def process_input(event: Event, ctx: RunnerContext) -> None:
    review: Review = InputEvent.from_event(event).input
    ctx.short_term_memory.set("product", review.product)
    message = ChatMessage(role=MessageRole.USER)
    ctx.send_event(
        ChatRequestEvent(
            model="review_model",
            messages=[message],
            prompt_args={
                "review": review.text,
                "scale": ctx.get_action_config_value("scale"),
            },
        )
    )


class ReviewActions:
    @staticmethod
    def process_chat_response(event: Event, ctx: RunnerContext) -> None:
        said = json.loads(ChatResponseEvent.from_event(event).response.content)
        ctx.send_event(
            OutputEvent(output={"product": ctx.short_term_memory.get("product"), **said})
        )


INPUTS: list[dict[str, Any]] = [
    {"k": "B1", "v": Review(product="B1", text="It came broken, and late.")},
    {"k": "B2", "v": Review(product="B2", text="Lovely.")},
]
OUTPUTS: list[dict[Any, Any]] = [
    {"B1": {"product": "B1", "score": 1, "told": "desk 7 knows"}},
    {"B2": {"product": "B2", "score": 5, "told": None}},
]
CALLS = ["notify desk 7 of B1"]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    env.get_config().set_str("shipping.desk", "desk 7")
    env.load_yaml(Path(__file__).with_suffix(".yaml"))
    outputs = env.from_list(INPUTS).apply("review_agent").to_list()
    env.execute("reviews")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
