"""Runs a ReAct agent on a real model server, as one leg of `test_chat_sigkill.py`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from perdure import JsonlSink, LocalEngine
from perdure.actions.react import ReActAgent
from perdure.llm.chat_model import ChatModel
from perdure.llm.tool import tool

KEYS = 12
TURNS = 3


def log(name: str, entry: Any) -> None:
    """Append a line to a file of the folder."""
    path = os.path.join(os.environ["CHAT_CRASH_FOLDER"], name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, (json.dumps(entry) + "\n").encode())
    os.close(descriptor)


async def visit(city: str, turn: int) -> str:
    """Visit a city."""
    log("tools.jsonl", [city, turn, os.getpid()])
    await asyncio.sleep(0.01)
    return f"{city} {turn}"


def answer(request: Any) -> Any:
    """What the server answers: two cities to visit in each turn, then where it has been."""
    from perdure.llm.message import ToolCall
    from perdure.testing.model_server import Answer

    messages = [each for each in request.messages if each["role"] != "system"]
    task = messages[0]["content"]
    visited = [each["content"] for each in messages if each["role"] == "tool"]
    turn = len(visited) // 2
    log("asked.jsonl", [task, turn])
    if turn == TURNS:
        return Answer(text=json.dumps([task, *visited]), delay=0.02)
    calls = [
        ToolCall(id=f"{turn}{side}", name="visit", arguments={"city": task + side, "turn": turn})
        for side in "ab"
    ]
    return Answer(tool_calls=calls, delay=0.02)


def expected(task: str) -> list[str]:
    """Return the output for a task."""
    return [task, *(f"{task}{side} {turn}" for turn in range(TURNS) for side in "ab")]


def main() -> None:
    """Run to the end: the arguments are the url of the server and a folder."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    chat_model = ChatModel("openai:scripted", base_url=url, api_key="none")
    agent = ReActAgent(chat_model=chat_model, tools=[tool(visit)])
    engine = LocalEngine(f"sqlite:///{folder}/store.db", config={"max-runs-in-flight": 4})
    tasks = [f"t{n}" for n in range(KEYS)]
    engine.run(agent, tasks, key=str, sink=JsonlSink(folder / "outputs.jsonl"))


if __name__ == "__main__":
    main()
