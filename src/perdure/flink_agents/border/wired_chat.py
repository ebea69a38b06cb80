"""WiredConnection: a chat model connection of theirs over the core's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from perdure.flink_agents.api.chat_message import ChatMessage, MessageRole
from perdure.flink_agents.api.chat_models.chat_model import BaseChatModelConnection
from perdure.flink_agents.api.tools.tool import Tool
from perdure.flink_agents.border.own_loop import OwnLoop
from perdure.integrations.llm import ChatConnection
from perdure.llm.message import ChatMessage as CoreMessage
from perdure.llm.message import ToolCall
from perdure.llm.output_schema import OutputSchema
from perdure.llm.tool import Tool as CoreTool

__all__ = ["WiredConnection", "settings_of"]

_OURS = ("model_name", "promptTokens", "completionTokens", "reasoning", "external_id")


def settings_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that have a value."""
    return {name: value for name, value in values.items() if value is not None}


class WiredConnection(BaseChatModelConnection):
    """Asks a provider through the core's connection, which retries nothing.

    Owns: the core's connection and the loop that it works on, from `open` to `close`.
    """

    __journal_name__ = "perdure:flink_agents.WiredConnection"

    _core: ChatConnection | None = PrivateAttr(default=None)
    _loop: OwnLoop = PrivateAttr(default_factory=OwnLoop)

    if TYPE_CHECKING:  # pydantic makes one; subclasses hand on what is theirs

        def __init__(self, **data: Any) -> None: ...

    def made_connection(self) -> ChatConnection:
        """Return the core's connection, not yet open."""
        raise NotImplementedError

    def model_called(self, model: str) -> str:
        """Return what the core calls a model."""
        return model

    def open(self) -> None:
        """Open the core's connection."""
        self._core = self.made_connection()
        self._loop.run(self._core.open())

    def close(self) -> None:
        """Close it."""
        core, self._core = self._core, None
        if core is not None:
            self._loop.run(core.close())
        self._loop.close()

    def supports_native_structured_output(self, effective_model: str | None) -> bool:
        """Say whether a model's provider enforces a schema."""
        return True

    def chat(
        self,
        messages: Sequence[ChatMessage],
        tools: list[Tool] | None = None,
        output_schema: Any = None,
        **kwargs: Any,
    ) -> ChatMessage:
        assert self._core is not None, "the connection is not open"
        model = self.model_called(kwargs.pop("model", None) or "")
        extract = bool(kwargs.pop("extract_reasoning", True))
        options = settings_of(kwargs)
        if output_schema is not None:
            options["output_schema"] = OutputSchema.of(output_schema)
        found = self._loop.run(
            self._core.chat(
                _to_core(messages),
                [_tool(each) for each in tools or ()] or None,
                model=model or None,
                extract_reasoning=extract,
                **options,
            )
        )
        return _to_theirs(found, model)


def _to_core(messages: Sequence[ChatMessage]) -> list[CoreMessage]:
    names: dict[str, str] = {}
    unanswered: list[str] = []
    found = []
    for each in messages:
        calls = [_call(call) for call in each.tool_calls]
        names.update({call.id: call.name for call in calls})
        unanswered += [call.id for call in calls]
        external = each.extra_args.get("external_id")
        if each.role == MessageRole.TOOL:
            if external is None and unanswered:
                external = unanswered[0]  # answers come in the order of the calls
            if external in unanswered:
                unanswered.remove(external)
        found.append(
            CoreMessage(
                role=each.role.value,  # type: ignore[arg-type]  # it takes a role by its word
                content=each.content,
                tool_calls=calls,
                tool_call_id=external,
                tool_name=names.get(external or ""),
                extra_args={k: v for k, v in each.extra_args.items() if k not in _OURS},
            )
        )
    return found


def _call(call: dict[str, Any]) -> ToolCall:
    return ToolCall.of({**call, "id": call.get("original_id") or call["id"]})


def _tool(tool: Tool) -> CoreTool:
    assert tool.metadata is not None
    return CoreTool(
        tool.call,
        name=tool.metadata.name,
        description=tool.metadata.description,
        parameters=tool.metadata.get_parameters_dict(),
    )


def _to_theirs(message: CoreMessage, model: str) -> ChatMessage:
    extra = dict(message.extra_args)
    if message.usage is not None:
        extra["model_name"] = message.model or model
        extra["promptTokens"] = message.usage.input_tokens
        extra["completionTokens"] = message.usage.output_tokens
    if message.reasoning:
        extra["reasoning"] = message.reasoning
    return ChatMessage(
        role=MessageRole.ASSISTANT,
        content=message.content,
        tool_calls=[
            {
                "id": each.id,
                "type": "function",
                "function": {"name": each.name, "arguments": each.arguments},
                "original_id": each.id,
            }
            for each in message.tool_calls
        ],
        extra_args=extra,
    )
