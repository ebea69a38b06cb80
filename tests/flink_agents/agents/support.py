"""Support: a chat whose tools get from the job and from memory for whom they work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import action, tool
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools import InjectedArg, ToolResponse
from flink_agents.api.tools.tool import Tool
from tests.flink_agents.agents.witness import called, reached


class SupportConnection(BaseChatModelConnection):
    """Looks the order up, then refunds it in another's name, and tells what came of it."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        answers = [each.content for each in messages if each.role == MessageRole.TOOL]
        called(f"chat {len(answers)}")
        assert tools is not None
        hidden = [each.metadata.get_parameters_dict()["properties"] for each in tools]
        assert [sorted(each) for each in hidden] == [["order"], ["amount", "order"]]
        if len(answers) == 2:
            return ChatMessage(role=MessageRole.ASSISTANT, content=" | ".join(answers))
        order = messages[0].content
        name = ("look_up", "refund")[len(answers)]
        arguments: dict[str, Any] = {"order": order, "tenant": "somebody else"}
        if answers:
            arguments = {"order": order, "amount": 7, "customer": "somebody else"}
        call = {"id": name, "type": "function", "original_id": f"of-{name}"}
        call["function"] = {"name": name, "arguments": arguments}
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


class SupportSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


def refund(order: str, amount: int, customer: str, limit: int) -> ToolResponse:
    """Pay something back.

    Parameters
    ----------
    order : str
        The order.
    amount : int
        How much.
    customer : str
        To whom.
    limit : int
        At most.
    """
    called(f"refund {order}")
    if amount > limit:
        return ToolResponse.failure(f"{customer} may have {limit}")
    return ToolResponse.success(f"{customer} has {amount}")


class SupportAgent(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.add_resource(
            "server",
            ResourceType.CHAT_MODEL_CONNECTION,
            ResourceDescriptor(clazz=SupportConnection),
        ).add_resource(
            "model",
            ResourceType.CHAT_MODEL,
            ResourceDescriptor(
                clazz=SupportSetup, connection="server", tools=["look_up", "refund"]
            ),
        ).add_resource(
            "refund",
            ResourceType.TOOL,
            Tool.from_callable(
                refund,
                injected_args={
                    "customer": InjectedArg.from_short_term_memory("customer.name"),
                    "limit": InjectedArg.from_config("limit"),
                },
            ),
        )

    @tool(injected_args={"tenant": InjectedArg.from_config("tenant")})
    @staticmethod
    def look_up(order: str, tenant: str) -> str:
        """Look an order up.

        Parameters
        ----------
        order : str
            The order.
        tenant : str
            Whose it is.
        """
        called(f"look up {order}")
        return f"{order} of {tenant}"

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        given = InputEvent.from_event(event).input
        ctx.short_term_memory.set("customer.name", given["customer"])
        request = ChatRequestEvent("model", [ChatMessage(content=given["order"])])
        ctx.short_term_memory.set("request", str(request.id))
        ctx.send_event(request)

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        reached("answer")
        assert ctx.short_term_memory.get("request") == str(event.request_id)
        ctx.send_event(OutputEvent(output=event.response.content))


INPUTS: list[dict[str, Any]] = [
    {"key": 1, "value": {"customer": "Ann", "order": "o-1"}},
    {"key": 1, "value": {"customer": "Ben", "order": "o-2"}},
]
OUTPUTS: list[dict[Any, Any]] = [
    {1: "o-1 of acme | Ann may have 5"},
    {1: "o-2 of acme | Ben may have 5"},
]
CALLS = [
    each
    for order in ("o-1", "o-2")
    for each in ("chat 0", f"look up {order}", "chat 1", f"refund {order}", "chat 2")
]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    config = env.get_config()
    config.set_str("tenant", "acme")
    config.set_int("limit", 5)
    outputs = env.from_list(INPUTS).apply(SupportAgent()).to_list()
    env.execute("support")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
