"""A library: documents are found by meaning, and a chat model answers from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    embedding_model_connection,
    embedding_model_setup,
    prompt,
    vector_store,
)
from flink_agents.api.embedding_models.embedding_model import (
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
)
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.context_retrieval_event import (
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
)
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceDescriptor
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import Tool
from flink_agents.api.vector_stores.vector_store import BaseVectorStore, Document
from pydantic import PrivateAttr
from tests.flink_agents.agents.witness import called, reached

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class LetterConnection(BaseEmbeddingModelConnection):
    """Embeds a text by how often it has each letter."""

    def embed(self, text: str | Sequence[str], **kwargs: Any) -> Any:
        if not isinstance(text, str):
            return [self.embed(each) for each in text]
        return [text.lower().count(each) / max(1, len(text)) for each in kwargs["letters"]]


class LetterSetup(BaseEmbeddingModelSetup):
    letters: str = LETTERS

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"letters": self.letters}


class ShelfStore(BaseVectorStore):
    """A few texts, in memory."""

    texts: dict[str, str]
    _documents: list[Document] = PrivateAttr(default_factory=list)

    @property
    def store_kwargs(self) -> dict[str, Any]:
        return {"least": 0.0}

    def open(self) -> None:
        super().open()
        self._documents = [
            Document(id=name, content=text, metadata={"name": name})
            for name, text in self.texts.items()
        ]
        self._ensure_embeddings(self._documents)

    def get(
        self,
        ids: str | list[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
        **kwargs: Any,
    ) -> list[Document]:
        return [each for each in self._documents if ids is None or each.id in ids]

    def delete(
        self,
        ids: str | list[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._documents = [each for each in self._documents if each.id not in (ids or ())]

    def _query_embedding(
        self,
        embedding: list[float],
        limit: int = 10,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        called("query")
        assert kwargs["least"] == 0.0

        def score(document: Document) -> float:
            pairs = zip(document.embedding or (), embedding, strict=True)
            return sum(one * other for one, other in pairs)

        best = sorted(self._documents, key=score, reverse=True)[:limit]
        return [each.model_copy(update={"score": round(score(each), 3)}) for each in best]


class ReadingConnection(BaseChatModelConnection):
    """Repeats what it was given to read."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        called("chat")
        return ChatMessage(role=MessageRole.ASSISTANT, content=messages[-1].content)


class ReadingSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


class LibraryAgent(Agent):
    """Answers questions from the texts that fit."""

    @embedding_model_connection
    @staticmethod
    def letters() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=LetterConnection)

    @embedding_model_setup
    @staticmethod
    def embedder() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=LetterSetup, connection="letters", model="letters")

    @vector_store
    @staticmethod
    def shelf() -> ResourceDescriptor:
        return ResourceDescriptor(
            clazz=ShelfStore,
            embedding_model="embedder",
            texts={"bees": "Bees see.", "cows": "Cows go down to town.", "zoo": "Zzz."},
        )

    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=ReadingConnection)

    @prompt
    @staticmethod
    def question() -> Prompt:
        return Prompt.from_text("Of {context}: {question}")

    @chat_model_setup
    @staticmethod
    def reader() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=ReadingSetup, connection="server", prompt="question")

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def search(event: Event, ctx: RunnerContext) -> None:
        question = InputEvent.from_event(event).input
        ctx.send_event(
            ContextRetrievalRequestEvent(query=question, vector_store="shelf", max_results=2)
        )

    @action(ContextRetrievalResponseEvent.EVENT_TYPE)
    @staticmethod
    def read(event: Event, ctx: RunnerContext) -> None:
        reached("read")
        found = ContextRetrievalResponseEvent.from_event(event)
        texts = ", ".join(f"{each.id} {each.score}" for each in found.documents)
        ctx.send_event(
            ChatRequestEvent(
                model="reader",
                messages=[ChatMessage(role=MessageRole.USER)],
                prompt_args={"context": texts, "question": found.query},
            )
        )

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=ChatResponseEvent.from_event(event).response.content))


INPUTS: list[dict[str, Any]] = [
    {"key": "q", "value": "eee"},
    {"key": "q", "value": "ow"},
]
OUTPUTS: list[dict[Any, Any]] = [
    {"q": "Of bees 0.444, cows 0.0: eee"},
    {"q": "Of cows 0.19, bees 0.0: ow"},
]
CALLS = ["query", "chat"] * 2


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(LibraryAgent()).to_list()
    env.execute("library")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
