"""A chat that remembers its guests: what they said is kept in long-term memory, by guest.

Run by itself it starts a small local model and goes through the sample conversation.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from perdure import (
    Agent,
    ChatMessage,
    ChatModel,
    EmbeddingModel,
    InputEvent,
    LocalEngine,
    OutputEvent,
    Prompt,
    ResourceType,
    RunnerContext,
    action,
    ask,
)
from perdure.testing import local_model

HERE = Path(__file__).parent
PROMPT = Prompt(
    [
        ChatMessage.system(
            "You are a waiter. Answer your guest in one short sentence. Remember:\n{notes}"
        )
    ]
)
CONFIG = {"long-term-memory.embedding-model": "minilm"}


class Waiter(Agent):
    """Answers a guest with what the guest said before in mind.

    Args:
        base_url: Where an OpenAI-compatible server is.
    """

    def __init__(self, base_url: str) -> None:
        model = ChatModel("smollm2-135m-instruct", base_url=base_url, prompt=PROMPT, max_tokens=32)
        self.add_resource("waiter", ResourceType.CHAT_MODEL, model)
        self.add_resource("minilm", ResourceType.EMBEDDING_MODEL, EmbeddingModel("local:minilm"))

    @action(InputEvent)
    async def talk(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Look for what fits what is said, ask the model, keep what was said."""
        said = event.input["says"]
        notes = ctx.long_term_memory.get_memory_set("notes")  # of this guest: it has the run's key
        known = [item.value for item in await notes.search(said, limit=3)]
        listed = "\n".join(f"- The guest said: {note}" for note in known) or "- nothing yet"
        answer = await ask(ctx, "waiter", said, prompt_args={"notes": listed})
        await notes.add(said)
        output = {"says": said, "remembered": known, "answer": answer}
        ctx.send_event(OutputEvent(output=output))


def main(store: str | None = None) -> None:
    """Go through the sample conversation and print it.

    Args:
        store: Where the journal and the memory are kept; None: in a folder that is then removed.
    """
    lines = (HERE / "conversation.jsonl").read_text("utf-8").splitlines()
    said = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as folder, local_model() as url:
        engine = LocalEngine(store or f"sqlite:///{folder}/guests.db", job="cafe", config=CONFIG)
        for output in engine.run(Waiter(url), said, key="guest"):
            print(f"{output.key}: {output.value['says']}")
            for note in output.value["remembered"]:
                print(f"  (remembers: {note})")
            print(f"  {' '.join(output.value['answer'].split())}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
