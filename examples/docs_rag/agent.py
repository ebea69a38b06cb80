"""Answers questions from this project's documentation: retrieval with real local models.

Run by itself it indexes docs/*.md and answers the questions of the sample, or those it is given.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from perdure import (
    Agent,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
    Document,
    EmbeddingModel,
    InputEvent,
    LocalEngine,
    OutputEvent,
    ResourceType,
    RunnerContext,
    VectorStore,
    action,
)
from perdure.testing import local_model

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs"
SHOWN = 400  # characters of a section that a very small model is given
PROMPT = (
    "You answer questions about perdure, a Python library, in one sentence."
    " This is what its documentation says:\n\n{context}"
)

_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def sections_of(page: str) -> list[Document]:
    """Read a page and return its sections, each with its title."""
    text = (PAGES / page).read_text("utf-8")
    parts = _HEADING.split(text)[1:]  # title, text, title, text ...
    return [
        Document(content=f"{title}\n{body.strip()}", metadata={"page": page, "title": title})
        for title, body in zip(parts[::2], parts[1::2], strict=True)
        if body.strip()
    ]


class DocsAgent(Agent):
    """Takes two sorts of input: `{"page": ...}` is read and indexed, `{"question": ...}` answered.

    Args:
        base_url: Where an OpenAI-compatible server is.
    """

    def __init__(self, base_url: str) -> None:
        writer = ChatModel(
            "smollm2-135m-instruct",
            base_url=base_url,
            prompt=PROMPT,
            temperature=0.0,
            max_tokens=60,
        )
        self.add_resource("minilm", ResourceType.EMBEDDING_MODEL, EmbeddingModel("local:minilm"))
        self.add_resource("docs", ResourceType.VECTOR_STORE, VectorStore(embedding_model="minilm"))
        self.add_resource("writer", ResourceType.CHAT_MODEL, writer)

    @action(InputEvent)
    async def take(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Index a page, or look for what a question needs."""
        if "question" in event.input:
            ctx.sensory_memory.set("question", event.input["question"])
            request = ContextRetrievalRequestEvent(
                query=event.input["question"], vector_store="docs", max_results=2, mode="hybrid"
            )
            ctx.send_event(request)
            return
        sections = await ctx.durable_execute_async(sections_of, event.input["page"])
        store: VectorStore = ctx.get_resource("docs", ResourceType.VECTOR_STORE)
        # Written by ids made of the content: made again after a crash, it changes nothing.
        adding = ctx.with_options(durable_id="add:docs")
        ids = await adding.durable_execute_async(store.add, sections)
        ctx.send_event(OutputEvent(output={"page": event.input["page"], "sections": len(ids)}))

    @action(ContextRetrievalResponseEvent)
    def ask(self, event: ContextRetrievalResponseEvent, ctx: RunnerContext) -> None:
        """Ask the model, with what was found."""
        found = [document.metadata for document in event.documents]
        ctx.sensory_memory.set("found", [f"{each['page']}, {each['title']}" for each in found])
        context = "\n\n".join(document.content[:SHOWN] for document in event.documents)
        ctx.send_event(ChatRequestEvent("writer", event.query, prompt_args={"context": context}))

    @action(ChatResponseEvent)
    def answer(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
        """Give the answer, with where it is from."""
        output: dict[str, Any] = {
            "question": ctx.sensory_memory.get("question"),
            "answer": " ".join(event.text.split()),
            "sources": ctx.sensory_memory.get("found"),
        }
        ctx.send_event(OutputEvent(output=output))


def main(*questions: str) -> None:
    """Index all pages, then answer the questions and print the answers."""
    if not questions:
        lines = (HERE / "questions.jsonl").read_text("utf-8").splitlines()
        questions = tuple(json.loads(line)["question"] for line in lines)
    pages = [{"page": page.name} for page in sorted(PAGES.glob("*.md"))]
    asked = [{"question": question} for question in questions]
    with tempfile.TemporaryDirectory() as folder, local_model() as url:
        engine = LocalEngine(f"sqlite:///{folder}/docs.db", job="docs")
        agent = DocsAgent(url)
        indexed = engine.run(agent, pages, key="page", id="page")
        print(
            f"{sum(output.value['sections'] for output in indexed)} sections of {len(pages)} pages"
        )
        outputs = engine.run(agent, asked, key="question", id="question")
        answers = {output.key: output.value for output in outputs}
        for question in questions:
            print(f"\n{question}\n  {answers[question]['answer']}")
            for source in answers[question]["sources"]:
                print(f"  from {source}")


if __name__ == "__main__":
    main(*sys.argv[1:])
