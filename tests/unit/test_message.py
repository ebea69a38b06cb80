"""Messages: usage that adds up, attachments, roles by their word."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.codec.codec import Codec
from perdure.errors import ConfigurationError
from perdure.llm.message import Attachment, ChatMessage, MessageRole, ToolCall, ToolResponse, Usage


def test_usage_adds_up() -> None:
    first = Usage(input_tokens=10, output_tokens=3, cache_read_tokens=4, cost=0.25)
    second = Usage(input_tokens=1, output_tokens=2, cache_write_tokens=5, cost=0.5)
    assert first + second == Usage(
        input_tokens=11, output_tokens=5, cache_read_tokens=4, cache_write_tokens=5, requests=2,
        cost=0.75,
    )  # fmt: skip
    assert (first + second).total_tokens == 16


def test_a_cost_that_is_not_known_makes_the_sum_unknown() -> None:
    known, unknown = Usage(input_tokens=1, cost=0.5), Usage(input_tokens=1)
    assert (known + unknown).cost is None
    assert (unknown + known).cost is None
    assert (known + Usage(cost=0.0)).cost == 0.5


def test_the_sum_of_nothing_changes_nothing() -> None:
    nothing = Usage(requests=0)
    used = Usage(input_tokens=3, cost=0.5)
    assert nothing + used == used
    assert used + nothing == used
    assert sum([used, used], nothing) == used + used


def test_an_attachment_has_data_or_a_url() -> None:
    assert Attachment(media_type="image/png", data=b"").data == b""
    assert Attachment(media_type="image/png", url="https://x/y.png").url
    for more in ({}, {"data": b"x", "url": "https://x"}):
        with pytest.raises(ConfigurationError, match="either data= or url="):
            Attachment(media_type="image/png", **more)


def test_an_attachment_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(b"\x89PNG")
    assert Attachment.from_path(file) == Attachment(
        media_type="image/png", data=b"\x89PNG", name="cat.png"
    )
    assert Attachment.from_path(str(file), "image/x").media_type == "image/x"
    odd = tmp_path / "noending"
    odd.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="'noending' is not known: pass it"):
        Attachment.from_path(odd)
    with pytest.raises(FileNotFoundError):
        Attachment.from_path(tmp_path / "none.png")


def test_messages_are_made_by_who_says_them() -> None:
    image = Attachment(media_type="image/png", data=b"1")
    call = ToolCall(id="1", name="look", arguments={"q": "x"})
    assert ChatMessage.system("be brief").role is MessageRole.SYSTEM
    assert ChatMessage.user("see", image).attachments == [image]
    assert ChatMessage.assistant("", (call,)).tool_calls == [call]
    answer = ChatMessage.tool("found", call=call)
    assert (answer.role, answer.tool_call_id, answer.tool_name) == (MessageRole.TOOL, "1", "look")
    assert answer.text == answer.content == "found"


def test_a_role_is_taken_by_its_word() -> None:
    made = ChatMessage(role="assistant", content="x")
    assert made.role is MessageRole.ASSISTANT
    assert made == ChatMessage.assistant("x")
    with pytest.raises(ValueError, match="bot"):
        ChatMessage(role="bot")


def test_lists_of_messages_are_their_own() -> None:
    first, second = ChatMessage.user("a"), ChatMessage.user("b")
    first.tool_calls.append(ToolCall(id="1", name="n", arguments={}))
    first.extra_args["x"] = 1
    assert second.tool_calls == []
    assert second.extra_args == {}


def test_a_tool_response_says_whether_it_came_to_something() -> None:
    assert ToolResponse(id="1", name="n").success
    assert not ToolResponse(id="1", name="n", error="").success


def test_a_whole_message_survives_the_journal() -> None:
    codec = Codec()
    codec.registry.register_annotation(ChatMessage)
    message = ChatMessage(
        role=MessageRole.ASSISTANT, content="c", reasoning="r", output={"a": [1]}, model="m",
        attachments=[Attachment(media_type="image/png", data=b"\0\xff", name="n")],
        tool_calls=[ToolCall(id="1", name="n", arguments="no json")],
        usage=Usage(input_tokens=2**40, cost=0.1), extra_args={"signature": b"\0", "n": {1: 2}},
    )  # fmt: skip
    again = codec.decode(codec.encode(message))
    assert again == message
    assert type(again.role) is MessageRole
