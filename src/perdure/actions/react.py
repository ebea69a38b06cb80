"""ReActAgent: a chat model that reasons and acts by tools until it has the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from perdure.actions.sub_agent import SubAgent, as_chat_model
from perdure.agent.declaration import Agent, action
from perdure.context import RunnerContext
from perdure.errors import InputError
from perdure.event import InputEvent, OutputEvent
from perdure.llm.events import ChatRequestEvent, ChatResponseEvent
from perdure.llm.message import ChatMessage, MessageRole
from perdure.llm.prompt import Prompt
from perdure.llm.tool import AnyTool
from perdure.resource import Resource, ResourceDescriptor, ResourceType

__all__ = ["ReActAgent"]

MODEL: Final = "react_chat_model"


class ReActAgent(Agent):
    """An agent ready to use: each input is a task, the model's final answer is the output.

    An input that is a text or a number is the user's message, or fills `{input}` of the prompt; the
    entries of a mapping, or the fields of a dataclass, fill the prompt's places by their names.

    Args:
        chat_model: A model string, a chat model, a connection, or a descriptor of a chat model.
        tools: What the model may ask for; functions, tools, sub-agents, or names.
        prompt: What it is told.
        output_schema: What outputs are read as; without it they are text.
        **options: Further options of the chat model, such as max_rounds.
    """

    def __init__(
        self,
        *,
        chat_model: str | Resource | ResourceDescriptor,
        tools: Iterable[AnyTool] | None = None,
        prompt: str | Prompt | None = None,
        output_schema: Any = None,
        **options: Any,
    ) -> None:
        self.chat_model = as_chat_model(
            chat_model, tools=tools, output_schema=output_schema, **options
        )
        self.prompt = Prompt(prompt) if isinstance(prompt, str) else prompt
        self.add_resource(MODEL, ResourceType.CHAT_MODEL, self.chat_model)

    @action(InputEvent)
    def start_action(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Ask the model what the input asks."""
        messages = self._messages(event.input)
        ctx.send_event(ChatRequestEvent(MODEL, messages, prompt_args=_named(event.input)))

    @action(ChatResponseEvent)
    def stop_action(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
        """Give the answer as output."""
        response = event.response
        has_schema = self.chat_model.output_schema is not None
        ctx.send_event(OutputEvent(output=response.output if has_schema else response.content))

    def _messages(self, value: Any) -> list[ChatMessage]:
        values = _named(value)
        if self.prompt is not None:
            return self.prompt.filled_messages(values, MessageRole.USER)
        if set(values) == {"input"}:
            return [ChatMessage.user(str(values["input"]))]
        if self.chat_model.prompt is not None:
            return []
        raise InputError(
            f"ReActAgent got a {type(value).__name__} and has no prompt that says what to do with"
            f" its fields: pass prompt=, such as prompt={' '.join(f'{{{n}}}' for n in values)!r}"
        )

    def as_sub_agent(self, **options: Any) -> SubAgent:
        """Return it as a sub-agent, for the `tools` of a chat model or as a resource."""
        return SubAgent(self.chat_model, **options)


def _named(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    fields = getattr(type(value), "model_fields", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    return {"input": value}
