"""An agent whose refunds need a person's approval.

Run by itself it plays both parts: a process that runs the agent, and a person at another command
line who looks at what waits and approves it. The model is a script; see `agent` for a real one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perdure import ChatMessage, ChatModel, MessageRole, ReActAgent, Tool, ToolCall, tool
from perdure.testing import ScriptedChatModel

HERE = Path(__file__).parent
LIMIT_SECONDS = 60.0


@tool(requires_approval=True)
async def refund(order: str, euros: int) -> str:
    """Pay money back to a customer.

    Args:
        order: The order's number.
        euros: How much.
    """
    return f"{euros} euros paid back for {order}"


def scripted(messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> ChatMessage:
    """Stand for a model: ask for a refund, then say what came of it."""
    said = messages[-1]
    if said.role is MessageRole.TOOL:
        return ChatMessage.assistant(f"What I did: {said.content}.")
    order = said.content.split()[1]
    call = ToolCall(id="1", name="refund", arguments={"order": order, "euros": 40})
    return ChatMessage.assistant("", [call])


def agent() -> ReActAgent:
    """Return the agent; `ChatModel("openai:gpt-5", tools=[refund])` would be a real model."""
    model = ChatModel("script", connection=ScriptedChatModel(scripted), tools=[refund])
    return ReActAgent(chat_model=model, prompt="Order {order} came broken. Help the customer.")


# The walk through it


def perdure(folder: Path, *arguments: str) -> str:
    """Run a perdure command as a person would, and return what it prints."""
    command = [sys.executable, "-m", "perdure.cli.main", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stdout


def waiting_run(folder: Path) -> dict[str, Any]:
    """Return the run that waits, once one does."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        listed = perdure(folder, "runs", "--status", "waiting", "--json")
        if listed and json.loads(listed)["runs"]:
            return dict(json.loads(listed)["runs"][0])
        time.sleep(0.1)
    raise SystemExit("no run waits for approval")


def main() -> None:
    """Run the agent in a process, approve its refund from another, print both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "orders.jsonl").write_bytes((HERE / "orders.jsonl").read_bytes())
        command = [*("run", f"{HERE / 'agent.py'}:agent", "--input", "orders.jsonl")]
        command += ["--key", "order", "--output", "answers.jsonl"]
        running = subprocess.Popen(
            [sys.executable, "-m", "perdure.cli.main", *command], cwd=folder,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            run = waiting_run(folder)
            print(f"$ perdure inbox\n{perdure(folder, 'inbox')}")
            said = perdure(folder, "approve", run["id"])
            print(f"$ perdure approve {run['id']}\n{said}")
            running.wait(LIMIT_SECONDS)
            print(f"$ cat answers.jsonl\n{(folder / 'answers.jsonl').read_text('utf-8')}", end="")
        finally:
            running.kill()
            running.wait()


if __name__ == "__main__":
    main()
