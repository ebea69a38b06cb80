"""Chat messages, tool calls and usage, as plain data that the journal keeps."""

from __future__ import annotations

import dataclasses
import enum
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perdure.errors import ConfigurationError

__all__ = [
    "Attachment",
    "ChatDelta",
    "ChatMessage",
    "MessageRole",
    "ToolCall",
    "ToolResponse",
    "Usage",
]


class MessageRole(enum.StrEnum):
    """Who says a message."""

    __journal_name__ = "perdure:MessageRole"

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An image, a document, a sound or a video in a message: its bytes, or where it lies.

    Attributes:
        media_type: Such as "image/png".
        data: Its bytes; None with a `url`.
        url: Where the provider finds it; None with `data`.
        name: A file name, for people.
    """

    __journal_name__ = "perdure:Attachment"

    media_type: str
    data: bytes | None = None
    url: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse one that has neither or both."""
        if (self.data is None) == (self.url is None):
            raise ConfigurationError("an Attachment has either data= or url=")

    @classmethod
    def from_path(cls, path: str | Path, media_type: str | None = None) -> Attachment:
        """Read a file; call it inside a durable call or where the input is made.

        Args:
            path: The file.
            media_type: What it is; guessed from the name where not given.

        Raises:
            ConfigurationError: The media type cannot be guessed.
            OSError: The file cannot be read.
        """
        file = Path(path)
        found = media_type or mimetypes.guess_type(file.name)[0]
        if found is None:
            raise ConfigurationError(f"the media type of {file.name!r} is not known: pass it")
        return cls(media_type=found, data=file.read_bytes(), name=file.name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish that a tool be called.

    Attributes:
        id: What the model calls this call; its result refers to it.
        name: The tool's name.
        arguments: The arguments, as the model gave them; a str where they were no JSON object.
    """

    __journal_name__ = "perdure:ToolCall"

    id: str
    name: str
    arguments: dict[str, Any] | str

    @classmethod
    def of(cls, given: ToolCall | Mapping[str, Any]) -> ToolCall:
        """Return a tool call that may be given as a mapping.

        Args:
            given: A tool call, or one as a mapping: `id`, `name` and `arguments`, the latter two
                inside of `function` as well, as OpenAI and Flink Agents have it.

        Raises:
            ConfigurationError: It is neither.
        """
        if isinstance(given, ToolCall):
            return given
        found = given.get("function", given) if isinstance(given, Mapping) else None
        name = found.get("name") if isinstance(found, Mapping) else None
        if not isinstance(name, str) or not isinstance(given, Mapping) or given.get("id") is None:
            raise ConfigurationError(
                f"{given!r:.100} is no tool call: give a ToolCall(id=, name=, arguments=), or a"
                " mapping with these"
            )
        arguments = found.get("arguments", {}) if isinstance(found, Mapping) else {}
        return cls(id=str(given["id"]), name=name, arguments=arguments)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolResponse:
    """What came of one tool call.

    Attributes:
        id: The id of the tool call.
        name: The tool's name.
        result: What the tool returned; None when it failed.
        error: Why it failed, in words for the model; None when it did not.
    """

    __journal_name__ = "perdure:ToolResponse"

    id: str
    name: str
    result: Any = None
    error: str | None = None

    @property
    def success(self) -> bool:
        """Whether the tool returned."""
        return self.error is None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens, and what they cost.

    Attributes:
        input_tokens: Tokens of the request, cached ones included.
        output_tokens: Tokens of the response.
        cache_read_tokens: Those of the request that the provider had cached.
        cache_write_tokens: Those of the request that it cached.
        requests: Requests that this is the sum of.
        cost: US dollars by the provider's public prices; None where these are not known.
    """

    __journal_name__ = "perdure:Usage"

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    requests: int = 1
    cost: float | None = None

    @property
    def total_tokens(self) -> int:
        """Tokens of request and response."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        costs = [each.cost for each in (self, other) if each.requests]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            requests=self.requests + other.requests,
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        )


@dataclasses.dataclass(slots=True, kw_only=True)
class ChatMessage:
    """One message of a conversation.

    Attributes:
        role: Who says it.
        content: Its text; of a TOOL message, the result.
        attachments: Images and files, after the text.
        tool_calls: Of an ASSISTANT message: the tools that the model wants called.
        tool_call_id: Of a TOOL message: the call that it answers.
        tool_name: Of a TOOL message: the tool.
        reasoning: Of an ASSISTANT message: what the model thought before it answered.
        output: Of a final ASSISTANT message: the structured output, where a schema was asked for.
        usage: Of an ASSISTANT message: what it took.
        model: Of an ASSISTANT message: the model that answered, as the provider names it.
        extra_args: Whatever else; what a connection needs to send the message back is kept here.
    """

    __journal_name__ = "perdure:ChatMessage"

    role: MessageRole = MessageRole.USER
    content: str = ""
    attachments: list[Attachment] = dataclasses.field(default_factory=list)
    tool_calls: list[ToolCall] = dataclasses.field(default_factory=list)
    tool_call_id: str | None = None
    tool_name: str | None = None
    reasoning: str | None = None
    output: Any = None
    usage: Usage | None = None
    model: str | None = None
    extra_args: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take a role by its word too, and tool calls as mappings."""
        if type(self.role) is not MessageRole:
            self.role = MessageRole(self.role)
        if self.tool_calls:
            self.tool_calls = [ToolCall.of(each) for each in self.tool_calls]

    @property
    def text(self) -> str:
        """The text."""
        return self.content

    @classmethod
    def system(cls, content: str) -> ChatMessage:
        """Return a SYSTEM message."""
        return cls(role=MessageRole.SYSTEM, content=content)

    @classmethod
    def user(cls, content: str, *attachments: Attachment) -> ChatMessage:
        """Return a USER message."""
        return cls(role=MessageRole.USER, content=content, attachments=list(attachments))

    @classmethod
    def assistant(cls, content: str, tool_calls: Sequence[ToolCall] = ()) -> ChatMessage:
        """Return an ASSISTANT message."""
        return cls(role=MessageRole.ASSISTANT, content=content, tool_calls=list(tool_calls))

    @classmethod
    def tool(cls, content: str, *, call: ToolCall) -> ChatMessage:
        """Return the TOOL message that answers a tool call."""
        return cls(
            role=MessageRole.TOOL, content=content, tool_call_id=call.id, tool_name=call.name
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatDelta:
    """A piece of a response while it is being streamed; not journaled.

    Attributes:
        model: Name of the chat model resource.
        run_id: The run that asked.
        key: Its key.
        request_id: The request, as the response event names it.
        text: The next piece of the text; "" in the last one.
        reasoning: The next piece of the reasoning.
        done: True in the last piece: the response is complete, and is journaled next.
    """

    __journal_name__ = "perdure:ChatDelta"

    model: str = ""
    run_id: str = ""
    key: Any = None
    request_id: str = ""
    text: str = ""
    reasoning: str = ""
    done: bool = False
