"""RecordedChatModel: what a provider answered once, again and without it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.llm.chat_model import BaseChatModelConnection
from perdure.llm.message import Attachment, ChatDelta, ChatMessage, ToolCall, Usage
from perdure.testing.recording import RecordedChatModel
from perdure.testing.scripted_chat import ScriptedChatModel

ASKED = ChatMessage.user("find x", Attachment(media_type="image/png", data=b"png"))
RICH = ChatMessage(
    role="assistant",
    content="I look.",
    tool_calls=[ToolCall(id="c1", name="search", arguments={"q": "x"})],
    attachments=[Attachment(media_type="image/png", data=b"\x00made")],
    reasoning="hm",
    usage=Usage(input_tokens=3, output_tokens=2, cost=0.25),
    model="m",
    extra_args={"pydantic_ai": "[]"},
)


class Unreachable(BaseChatModelConnection):
    """A provider that must not be asked."""

    def open(self) -> None:
        raise ConfigurationError("no API key")

    def chat(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("it was asked")


def asked(recorded: RecordedChatModel, *messages: ChatMessage, **kwargs: Any) -> ChatMessage:
    async def main() -> ChatMessage:
        try:
            return await recorded.chat(messages or (ASKED,), **kwargs)
        finally:
            await recorded.close()

    return asyncio.run(main())


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "chat.json"


def test_what_was_recorded_is_replayed_without_the_provider(cassette: Path) -> None:
    assert asked(RecordedChatModel(ScriptedChatModel([RICH]), cassette), temperature=0) == RICH
    replaying = RecordedChatModel(Unreachable(), cassette, mode="replay")
    assert asked(replaying, temperature=0) == RICH


def test_auto_asks_only_for_what_is_new(cassette: Path) -> None:
    provider = ScriptedChatModel(lambda messages, tools: f"re: {messages[-1].content}")
    asked(RecordedChatModel(provider, cassette))
    again = RecordedChatModel(provider, cassette)
    asked(again)
    assert len(provider.requests) == 1
    assert asked(again, ChatMessage.user("more")).content == "re: more"
    assert len(provider.requests) == 2


def test_record_begins_anew(cassette: Path) -> None:
    asked(RecordedChatModel(ScriptedChatModel(["old"]), cassette))
    asked(RecordedChatModel(ScriptedChatModel(["new"]), cassette, mode="record"))
    assert asked(RecordedChatModel(Unreachable(), cassette)).content == "new"


def test_failures_are_replayed_in_their_order(cassette: Path) -> None:
    provider = ScriptedChatModel([[RetryableError("busy", 2.0), "done"]])
    recording = RecordedChatModel(provider, cassette)
    with pytest.raises(RetryableError):
        asked(recording)
    replayed = RecordedChatModel(Unreachable(), cassette, mode="replay")
    with pytest.raises(RetryableError, match="busy") as found:
        asked(replayed)
    assert found.value.retry_after == 2.0

    # One recorder that sees both attempts records both.
    both = RecordedChatModel(
        ScriptedChatModel([[TerminalError("no"), "done"]]), cassette, mode="record"
    )
    with pytest.raises(TerminalError):
        asked(both)
    assert asked(both).content == "done"
    replayed = RecordedChatModel(Unreachable(), cassette, mode="replay")
    with pytest.raises(TerminalError):
        asked(replayed)
    assert [asked(replayed).content for _ in range(2)] == ["done", "done"]


@pytest.mark.parametrize("mode", ["auto", "record"])
def test_models_that_share_a_cassette_lose_nothing_of_each_other(cassette: Path, mode: Any) -> None:
    provider = ScriptedChatModel(lambda messages, tools: messages[-1].content.upper())
    cassette.parent.mkdir()
    link = cassette.with_name("link.json")
    link.symlink_to(cassette)
    models = [RecordedChatModel(provider, path, mode) for path in (cassette, link)]

    async def main() -> None:
        await asyncio.gather(*(models[n % 2].chat([ChatMessage.user(f"q{n}")]) for n in range(10)))

    asyncio.run(main())
    assert len(json.loads(cassette.read_text("utf-8"))["requests"]) == 10
    assert sorted(path.name for path in cassette.parent.iterdir()) == ["chat.json", "link.json"]
    replaying = RecordedChatModel(Unreachable(), cassette, mode="replay")
    assert asked(replaying, ChatMessage.user("q7")).content == "Q7"


def test_a_cassette_that_was_deleted_is_recorded_anew(cassette: Path) -> None:
    first = RecordedChatModel(ScriptedChatModel(["old"]), cassette)
    asked(first)
    cassette.unlink()
    assert asked(RecordedChatModel(ScriptedChatModel(["new"]), cassette)).content == "new"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"outcomes": []}, "no list of one or more"),
        ({"outcomes": [{}]}, "'response'"),
        ({"outcomes": [{"response": {"role": "clown"}}]}, "clown"),
        ({"outcomes": [{"failure": {"type": "Foo", "message": "x"}}]}, "'Foo'"),
        ({"outcomes": None}, "no list"),
        ({"digest": []}, "hash"),
    ],
)
def test_an_entry_that_was_edited_is_named(cassette: Path, change: Any, why: str) -> None:
    asked(RecordedChatModel(ScriptedChatModel(["one"]), cassette))
    edited = json.loads(cassette.read_text("utf-8"))
    edited["requests"].append({**edited["requests"][0], **change})
    cassette.write_text(json.dumps(edited))
    with pytest.raises(ConfigurationError, match=rf"entry 2 of its requests is none.*{why}"):
        asked(RecordedChatModel(Unreachable(), cassette, mode="replay"))


@pytest.mark.parametrize("mode", ["auto", "record"])
def test_a_folder_is_no_cassette(tmp_path: Path, mode: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot (read|write) the cassette"):
        asked(RecordedChatModel(ScriptedChatModel(["one"]), tmp_path, mode))


def test_an_unknown_request_is_named(cassette: Path) -> None:
    replaying = RecordedChatModel(Unreachable(), cassette, mode="replay")
    with pytest.raises(ConfigurationError) as found:
        asked(replaying, ChatMessage.user("what is new?"), model="some-model")
    assert "what is new?" in str(found.value)
    assert "some-model" in str(found.value)
    assert "mode='record'" in str(found.value)
    assert str(cassette) in str(found.value)


def test_no_secret_is_in_a_cassette(cassette: Path) -> None:
    key = "sk-proj-0123456789abcdefABCDEF"
    provider = ScriptedChatModel([TerminalError(f"Incorrect API key provided: {key}")])
    headers = {"Authorization": f"Bearer {key}", "X-Other": "hidden-value"}
    with pytest.raises(TerminalError):
        asked(
            RecordedChatModel(provider, cassette),
            ChatMessage.user(f"my key is {key}"),
            extra_headers=headers,
        )
    text = cassette.read_text("utf-8")
    assert key not in text
    assert "hidden-value" not in text
    assert "SECRET" in text
    assert "X-Other" in text


def test_a_cassette_can_be_read_by_people(cassette: Path) -> None:
    asked(RecordedChatModel(ScriptedChatModel(["Grüße"]), cassette), temperature=0)
    text = cassette.read_text("utf-8")
    assert "Grüße" in text
    (entry,) = json.loads(text)["requests"]
    assert entry["request"]["settings"] == {"temperature": 0}
    assert entry["request"]["messages"][0]["content"] == "find x"
    assert entry["request"]["messages"][0]["attachments"][0]["data"].startswith("sha256:")
    assert entry["outcomes"][0]["response"]["content"] == "Grüße"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "requests": []}'])
def test_what_is_no_cassette_is_refused(cassette: Path, text: str) -> None:
    cassette.parent.mkdir()
    cassette.write_text(text)
    with pytest.raises(ConfigurationError, match="cassette"):
        asked(RecordedChatModel(Unreachable(), cassette))
    assert cassette.read_text() == text


def test_a_stream_is_recorded_and_comes_in_one_piece(cassette: Path) -> None:
    def streamed(model: RecordedChatModel) -> list[str]:
        pieces: list[ChatDelta] = []
        asyncio.run(model.chat_stream([ASKED], emit=pieces.append))
        return [piece.text for piece in pieces]

    assert streamed(RecordedChatModel(ScriptedChatModel(["one two"]), cassette)) == ["one", " two"]
    assert streamed(RecordedChatModel(Unreachable(), cassette)) == ["one two"]


def test_half_of_a_character_is_recorded_as_it_came(cassette: Path) -> None:
    half = ChatMessage.assistant("half \ud83d of an emoji, and a whole \N{SNOWMAN}")
    question = ChatMessage.user("\udc80?")
    recorded = asked(RecordedChatModel(ScriptedChatModel([half]), cassette), question)
    assert recorded.content == half.content
    assert "half \\ud83d of an emoji, and a whole \N{SNOWMAN}" in cassette.read_text("utf-8")
    assert asked(RecordedChatModel(Unreachable(), cassette, mode="replay"), question) == recorded


def test_what_cannot_be_written_is_in_nobodys_way(
    cassette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = RecordedChatModel(ScriptedChatModel([RICH]), cassette)
    with monkeypatch.context() as full:
        full.setattr(Path, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asked(recorded, ChatMessage.user("lost"))
    asked(recorded, ASKED)
    assert "lost" not in cassette.read_text("utf-8")
    assert [path.name for path in cassette.parent.iterdir()] == [cassette.name]


def test_what_is_no_connection_is_refused(cassette: Path) -> None:
    for given, kind in ((None, "NoneType"), ("openai:gpt-5", "str")):
        with pytest.raises(ConfigurationError, match=f"its connection is a {kind}: give a chat"):
            RecordedChatModel(given, cassette, mode="replay")  # type: ignore[arg-type]


def test_a_mode_that_is_none_is_refused(cassette: Path) -> None:
    with pytest.raises(ConfigurationError, match="none of auto, record, replay"):
        RecordedChatModel(Unreachable(), cassette, mode="play")  # type: ignore[arg-type]
