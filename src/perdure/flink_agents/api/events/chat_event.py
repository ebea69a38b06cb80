"""Events of chats."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from perdure.flink_agents.api.agents.types import OutputSchema
from perdure.flink_agents.api.chat_message import ChatMessage
from perdure.flink_agents.api.events.event import Event, _fields
from perdure.flink_agents.api.events.event_type import EventType

__all__ = ["ChatRequestEvent", "ChatResponseEvent"]


class ChatRequestEvent(Event):
    """Asks a chat model; a ChatResponseEvent answers it."""

    __journal_name__ = "perdure:flink_agents.ChatRequestEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ChatRequestEvent

    def __init__(
        self,
        model: str = "",
        messages: list[ChatMessage] | None = None,
        prompt_args: dict[str, Any] | None = None,
        output_schema: OutputSchema | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(
            **_fields(
                self.EVENT_TYPE,
                rest,
                model=model,
                messages=list(messages or ()),
                prompt_args=prompt_args if prompt_args is not None else {},
                output_schema=output_schema,
            )
        )

    @classmethod
    def from_event(cls, event: Event) -> ChatRequestEvent:
        """Return an event seen as this class."""
        found = event.attributes
        assert "model" in found
        assert "messages" in found
        schema = found.get("output_schema")
        return cls(
            model=found["model"],
            messages=[_message(each) for each in found["messages"]],
            prompt_args=found.get("prompt_args"),
            output_schema=OutputSchema.model_validate(schema)
            if isinstance(schema, dict)
            else schema,
        ).reconstruct_from(event)

    @property
    def model(self) -> str:
        """Name of the chat model."""
        return str(self.get_attr("model"))

    @property
    def messages(self) -> list[ChatMessage]:
        """The conversation."""
        return [_message(each) for each in self.get_attr("messages")]

    @property
    def prompt_args(self) -> dict[str, Any]:
        """What the places of the chat model's prompt are filled with."""
        return self.get_attr("prompt_args") or {}

    @property
    def output_schema(self) -> OutputSchema | None:
        """What the answer shall fit."""
        found: OutputSchema | None = self.get_attr("output_schema")
        return found


class ChatResponseEvent(Event):
    """The final answer of a chat model."""

    __journal_name__ = "perdure:flink_agents.ChatResponseEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ChatResponseEvent

    def __init__(
        self,
        request_id: UUID | None = None,
        response: ChatMessage | None = None,
        retry_count: int = 0,
        total_retry_wait_sec: int = 0,
        **rest: Any,
    ) -> None:
        super().__init__(
            **_fields(
                self.EVENT_TYPE,
                rest,
                request_id=request_id,
                response=response,
                retry_count=retry_count,
                total_retry_wait_sec=total_retry_wait_sec,
            )
        )

    @classmethod
    def from_event(cls, event: Event) -> ChatResponseEvent:
        """Return an event seen as this class."""
        found = event.attributes
        assert "request_id" in found
        assert "response" in found
        return cls(
            request_id=as_uuid(found["request_id"]),
            response=_message(found["response"]),
            retry_count=found.get("retry_count", 0),
            total_retry_wait_sec=found.get("total_retry_wait_sec", 0),
        ).reconstruct_from(event)

    @property
    def request_id(self) -> UUID:
        """The id of the request."""
        return as_uuid(self.get_attr("request_id"))

    @property
    def response(self) -> ChatMessage:
        """The answer."""
        return _message(self.get_attr("response"))

    @property
    def retry_count(self) -> int:
        """How often a request was made again, over all rounds of tool calls."""
        return int(self.get_attr("retry_count") or 0)

    @property
    def total_retry_wait_sec(self) -> int:
        """Seconds waited for that."""
        return int(self.get_attr("total_retry_wait_sec") or 0)


def _message(given: Any) -> ChatMessage:
    found: ChatMessage
    found = ChatMessage.model_validate(given) if isinstance(given, dict) else given
    return found


def as_uuid(given: Any) -> UUID:
    """Return an id that may have become text."""
    return UUID(given) if isinstance(given, str) else given
