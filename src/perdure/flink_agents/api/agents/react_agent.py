"""ReActAgent: an agent that is one chat model with its tools."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from perdure.flink_agents.api.agents.agent import STRUCTURED_OUTPUT, Agent
from perdure.flink_agents.api.agents.types import OutputSchema
from perdure.flink_agents.api.chat_message import (
    ChatMessage,
    MessageRole,
    find_first_system_message,
)
from perdure.flink_agents.api.decorators import action
from perdure.flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from perdure.flink_agents.api.events.event import Event, InputEvent, OutputEvent
from perdure.flink_agents.api.events.event_type import EventType
from perdure.flink_agents.api.prompts.prompt import Prompt
from perdure.flink_agents.api.resource import ResourceDescriptor, ResourceType
from perdure.flink_agents.api.runner_context import RunnerContext

__all__ = ["OutputSchema", "ReActAgent"]

_CHAT_MODEL = "_default_chat_model"
_SCHEMA_PROMPT = "_default_schema_prompt"
_USER_PROMPT = "_default_user_prompt"


class ReActAgent(Agent):
    """Sends its input to a chat model, which may call tools, and puts out the answer.

    Args:
        chat_model: The chat model.
        prompt: How the input becomes messages; needed where it is no text or number.
        output_schema: What the answer shall fit: a pydantic model, or a row type of PyFlink.
    """

    def __init__(
        self,
        *,
        chat_model: ResourceDescriptor,
        prompt: Prompt | None = None,
        output_schema: Any = None,
    ) -> None:
        super().__init__()
        self.add_resource(_CHAT_MODEL, ResourceType.CHAT_MODEL, chat_model)
        if output_schema:
            said = (
                "The final response should be json format, and match the schema"
                f" {_written(output_schema)}."
            )
            self.add_resource(_SCHEMA_PROMPT, ResourceType.PROMPT, Prompt.from_text(text=said))
        if prompt:
            self.add_resource(_USER_PROMPT, ResourceType.PROMPT, prompt)
        schema = OutputSchema(output_schema=output_schema) if output_schema else None
        self.add_action(
            name="start_action",
            trigger_conditions=[EventType.InputEvent],
            func=self.start_action,
            output_schema=schema,
        )

    @staticmethod
    def start_action(event: Event, ctx: RunnerContext) -> None:
        """Send the input to the chat model."""
        messages = _messages(InputEvent.from_event(event).input, _prompt(ctx, _USER_PROMPT))
        schema_prompt = _prompt(ctx, _SCHEMA_PROMPT)
        if schema_prompt is not None:
            at = find_first_system_message(messages) + 1
            messages[at:at] = schema_prompt.format_messages()
        ctx.send_event(
            ChatRequestEvent(
                model=_CHAT_MODEL,
                messages=messages,
                output_schema=ctx.get_action_config_value(key="output_schema"),
            )
        )

    @action(EventType.ChatResponseEvent)
    @staticmethod
    def stop_action(event: Event, ctx: RunnerContext) -> None:
        """Put out the answer."""
        response = ChatResponseEvent.from_event(event).response
        output = response.extra_args.get(STRUCTURED_OUTPUT, response.content)
        ctx.send_event(OutputEvent(output=output))


def _written(schema: Any) -> str:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return str(schema.model_json_schema())
    if type(schema).__name__ == "RowTypeInfo":
        return str(schema)
    raise TypeError(f"Output schema {schema.__class__} is not supported.")


def _prompt(ctx: RunnerContext, name: str) -> Prompt | None:
    try:
        found: Prompt = ctx.get_resource(name, ResourceType.PROMPT)
    except KeyError:
        return None
    return found


def _messages(given: Any, prompt: Prompt | None) -> list[ChatMessage]:
    if isinstance(given, bool | str | int | float | None):
        text = str(given)
        if prompt is None:
            return [ChatMessage(role=MessageRole.USER, content=text)]
        return prompt.format_messages(role=MessageRole.USER, input=text)
    if prompt is None:
        if isinstance(given, dict) and set(given) == {"input"}:
            return [ChatMessage(role=MessageRole.USER, content=str(given["input"]))]
        raise RuntimeError(
            f"Input type is {given.__class__}, which is not primitive types. User should provide"
            " prompt to help convert it to ChatMessage."
        )
    if hasattr(given, "as_dict"):
        given = given.as_dict(recursive=True)
    values = given if isinstance(given, dict) else given.__dict__
    filled = {name: str(value) for name, value in values.items()}
    return prompt.format_messages(role=MessageRole.USER, **filled)
