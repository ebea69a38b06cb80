"""The events of the built-in actions: chats, tool calls, context retrieval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from perdure.documents.document import Document
from perdure.event import Event, EventType
from perdure.llm.message import ChatMessage, ToolCall, ToolResponse, Usage
from perdure.llm.output_schema import OutputSchema

__all__ = [
    "ChatRequestEvent",
    "ChatResponseEvent",
    "ContextRetrievalRequestEvent",
    "ContextRetrievalResponseEvent",
    "ToolRequestEvent",
    "ToolResponseEvent",
    "messages_of",
]


class ChatRequestEvent(Event):
    """Asks a chat model; a ChatResponseEvent answers it when all its tool calls are made.

    After `ctx.send_event` its `id` is known; the response names it.

    Attributes:
        model: Name of the chat model resource.
        messages: The conversation; a str is one user message.
        prompt_args: What the places of the chat model's prompt are filled with.
        output_schema: A JSON schema, or a type that has one, that the answer shall fit; the
            response's `output` is then plain JSON data. None: as the chat model says.
    """

    EVENT_TYPE: ClassVar[str] = EventType.ChatRequestEvent
    model: str
    messages: list[ChatMessage]
    prompt_args: dict[str, Any]
    output_schema: dict[str, Any] | None

    def __init__(
        self,
        model: str,
        messages: str | ChatMessage | Sequence[ChatMessage | str] = (),
        prompt_args: Mapping[str, Any] | None = None,
        output_schema: Any = None,
    ) -> None:
        """Ask a chat model.

        Raises:
            AgentDefinitionError: The output type has no JSON schema.
            TypeError: A message is neither a ChatMessage nor a str.
        """
        schema = None if output_schema is None else dict(OutputSchema.of(output_schema).source)
        super().__init__(
            attributes={
                "model": model,
                "messages": messages_of(messages),
                "prompt_args": dict(prompt_args or {}),
                "output_schema": schema,
            }
        )


def messages_of(messages: Any) -> list[ChatMessage]:
    """Return the messages of a chat, given as `ChatRequestEvent` takes them.

    Raises:
        TypeError: One is neither a ChatMessage nor a str.
    """
    if type(messages) is str:
        return [ChatMessage(content=messages)]
    several = messages if isinstance(messages, Sequence) else [messages]
    found: list[ChatMessage] = []
    for each in [several] if isinstance(several, str) else several:
        message = ChatMessage(content=each) if isinstance(each, str) else each
        if not isinstance(message, ChatMessage):
            raise TypeError(
                f"a message of a chat is a ChatMessage or a str, not a {type(each).__name__}: write"
                " ChatMessage.user(text)"
            )
        found.append(message)
    return found


class ChatResponseEvent(Event):
    """A chat model's final answer.

    Attributes:
        request_id: The id of the ChatRequestEvent.
        response: The answer.
        model: Name of the chat model resource that was asked.
        usage: Tokens and cost of all requests of this chat.
        rounds: Rounds of tool calls that it took.
    """

    EVENT_TYPE: ClassVar[str] = EventType.ChatResponseEvent
    request_id: str
    response: ChatMessage
    model: str = ""
    usage: Usage | None = None
    rounds: int = 0

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.response.content

    @property
    def output(self) -> Any:
        """The structured output; None where none was asked for."""
        return self.response.output


class ToolRequestEvent(Event):
    """Asks for tool calls; a ToolResponseEvent answers when all are made.

    Attributes:
        tool_calls: What shall be called.
        model: Name of the chat model whose tools they are; "": tools that are resources.
    """

    EVENT_TYPE: ClassVar[str] = EventType.ToolRequestEvent
    tool_calls: list[ToolCall]
    model: str = ""

    def __init__(self, tool_calls: Iterable[ToolCall | Mapping[str, Any]], **more: Any) -> None:
        """Make one; the calls may be given as mappings, see `ToolCall.of`."""
        super().__init__(tool_calls=[ToolCall.of(each) for each in tool_calls], **more)


class ToolResponseEvent(Event):
    """What came of tool calls.

    Attributes:
        request_id: The id of the ToolRequestEvent.
        responses: What came of each call, by the id of the call.
    """

    EVENT_TYPE: ClassVar[str] = EventType.ToolResponseEvent
    request_id: str
    responses: dict[str, ToolResponse]


class ContextRetrievalRequestEvent(Event):
    """Asks a vector store for documents; a ContextRetrievalResponseEvent answers it.

    Attributes:
        query: The text that documents are wanted for.
        vector_store: Name of the vector store resource.
        max_results: Most documents of the answer.
        filters: What their metadata must be, see `perdure.documents.filters.parse_filters`.
        mode: "semantic", "keyword" or "hybrid".
        collection_name: Where to look; None: the vector store's own collection.
    """

    EVENT_TYPE: ClassVar[str] = EventType.ContextRetrievalRequestEvent
    query: str
    vector_store: str
    max_results: int = 3
    filters: dict[str, Any] | None = None
    mode: str = "semantic"
    collection_name: str | None = None


class ContextRetrievalResponseEvent(Event):
    """The documents that a vector store found.

    Attributes:
        request_id: The id of the ContextRetrievalRequestEvent.
        query: The text they were wanted for.
        documents: The best first, with their scores and without their embeddings.
    """

    EVENT_TYPE: ClassVar[str] = EventType.ContextRetrievalResponseEvent
    request_id: str
    query: str
    documents: list[Document]
