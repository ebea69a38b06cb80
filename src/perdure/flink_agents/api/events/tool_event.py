"""Events of tool calls."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from perdure.flink_agents.api.events.chat_event import as_uuid
from perdure.flink_agents.api.events.event import Event, _fields
from perdure.flink_agents.api.events.event_type import EventType

__all__ = ["ToolRequestEvent", "ToolResponseEvent"]


class ToolRequestEvent(Event):
    """Asks for tool calls; a ToolResponseEvent answers it."""

    __journal_name__ = "perdure:flink_agents.ToolRequestEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ToolRequestEvent

    def __init__(
        self, model: str = "", tool_calls: list[dict[str, Any]] | None = None, **rest: Any
    ) -> None:
        super().__init__(
            **_fields(self.EVENT_TYPE, rest, model=model, tool_calls=list(tool_calls or ()))
        )

    @classmethod
    def from_event(cls, event: Event) -> ToolRequestEvent:
        """Return an event seen as this class."""
        found = event.attributes
        assert "model" in found
        assert "tool_calls" in found
        return cls(model=found["model"], tool_calls=found["tool_calls"]).reconstruct_from(event)

    @property
    def model(self) -> str:
        """Name of the chat model that asks."""
        return str(self.get_attr("model"))

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls, each `id` and `function` (`name`, `arguments`)."""
        found: list[dict[str, Any]] = self.get_attr("tool_calls")
        return found


class ToolResponseEvent(Event):
    """What came of tool calls, by their ids."""

    __journal_name__ = "perdure:flink_agents.ToolResponseEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ToolResponseEvent

    def __init__(
        self,
        request_id: UUID | None = None,
        responses: dict[str, Any] | None = None,
        external_ids: dict[str, str | None] | None = None,
        success: dict[str, bool] | None = None,
        error: dict[str, str] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(
            **_fields(
                self.EVENT_TYPE,
                rest,
                request_id=request_id,
                responses=responses or {},
                external_ids=external_ids or {},
                success=success or {},
                error=error or {},
            )
        )

    @classmethod
    def from_event(cls, event: Event) -> ToolResponseEvent:
        """Return an event seen as this class."""
        found = event.attributes
        assert "request_id" in found
        assert "responses" in found
        return cls(
            request_id=as_uuid(found["request_id"]),
            responses=found["responses"],
            external_ids=found.get("external_ids"),
            success=found.get("success"),
            error=found.get("error"),
        ).reconstruct_from(event)

    @property
    def request_id(self) -> UUID:
        """The id of the request."""
        return as_uuid(self.get_attr("request_id"))

    @property
    def responses(self) -> dict[str, Any]:
        """What the tools returned, or that they failed."""
        return self.get_attr("responses") or {}

    @property
    def success(self) -> dict[str, bool]:
        """Whether they returned."""
        return self.get_attr("success") or {}

    @property
    def error(self) -> dict[str, str]:
        """Why they did not."""
        return self.get_attr("error") or {}

    @property
    def external_ids(self) -> dict[str, str | None]:
        """What the provider calls the calls."""
        return self.get_attr("external_ids") or {}
