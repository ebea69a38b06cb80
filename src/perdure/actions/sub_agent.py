"""SubAgent: an agent that a model, or an action, asks as it asks a tool."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from perdure.actions.chat import ask
from perdure.context import RunnerContext
from perdure.errors import AgentDefinitionError
from perdure.llm.chat_model import BaseChatModelConnection, BaseChatModelSetup, ChatModel
from perdure.llm.message import ChatMessage
from perdure.resource import Resource, ResourceDescriptor, ResourceType

__all__ = ["SubAgent", "as_chat_model"]

_PARAMETERS: Final = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "What it shall do."}},
    "required": ["input"],
    "additionalProperties": False,
}


class SubAgent(Resource):
    """A chat model with a task of its own: prompt, tools and output.

    A chat model that has it among its `tools` may ask it; an action asks it with `run`. Its chat is
    part of the action that asks: each of its requests and tool calls is a durable call there.

    Args:
        chat_model: What it thinks with: a model string, a chat model, a connection or a descriptor.
        description: What it is for, for the model that asks.
        parameters: JSON schema of its arguments; they fill the places of its prompt. By default one
            argument, `input`, which is its user message.
        **options: Options of its chat model: tools, prompt, output_schema ...
    """

    __journal_name__ = "perdure:SubAgent"

    RESOURCE_TYPE: ClassVar = ResourceType.AGENT

    def __init__(
        self,
        chat_model: str | Resource | ResourceDescriptor,
        *,
        description: str = "An agent that completes the task it is given.",
        parameters: Mapping[str, Any] | None = None,
        name: str = "",
        **options: Any,
    ) -> None:
        self.name = name
        self.chat_model = as_chat_model(chat_model, **options)
        self.description = description
        self.parameters = dict(parameters or _PARAMETERS)

    def parts(self) -> Iterable[Resource]:
        return (self.chat_model,)

    async def run(self, ctx: RunnerContext, input: Any) -> Any:
        """Give it a task, in an `async def` action, and return its output.

        Args:
            ctx: The context of the action.
            input: A text, or its arguments by name.

        Returns:
            The structured output where it has a schema, else the text.
        """
        arguments = input if isinstance(input, Mapping) else {"input": input}
        text = arguments.get("input")
        if set(arguments) == {"input"} and isinstance(text, str):
            messages = [ChatMessage.user(text)]
        elif self.chat_model.prompt is not None:
            messages = []
        else:
            messages = [ChatMessage.user(json.dumps(arguments, ensure_ascii=False, default=str))]
        return await ask(ctx, self.chat_model, messages, prompt_args=arguments)


def as_chat_model(
    chat_model: str | Resource | ResourceDescriptor, **options: Any
) -> BaseChatModelSetup:
    """Return a chat model of one's own.

    Args:
        chat_model: A model string, a chat model (which is copied), a connection, or a descriptor of
            a chat model.
        **options: Options over those that it has; None: as it has.

    Raises:
        AgentDefinitionError: It is no chat model.
    """
    given = {name: value for name, value in options.items() if value is not None}
    made: Any = chat_model
    if isinstance(chat_model, ResourceDescriptor):
        made = chat_model.make("chat_model")
    if isinstance(made, str):
        return ChatModel(made, **given)
    if isinstance(made, BaseChatModelConnection):
        return ChatModel("", connection=made, **given)
    if not isinstance(made, BaseChatModelSetup):
        raise AgentDefinitionError(
            f"chat_model is a {type(made).__name__}: pass a model string, a chat model or a"
            " connection"
        )
    return made.varied(**given)
