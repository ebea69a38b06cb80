"""A ReActAgent that answers questions with a function and the tools of an MCP server.

Run by itself it takes a script for the model, so that it needs neither key nor network. With the
name of a model, such as openai:gpt-5, it asks that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from perdure import (
    ChatMessage,
    ChatModel,
    LocalEngine,
    MCPServer,
    MessageRole,
    ReActAgent,
    Tool,
    ToolCall,
)
from perdure.testing import ScriptedChatModel

HERE = Path(__file__).parent
PROMPT = "Article {article}: is it in stock, and what does it cost in {currency}? One sentence."


async def price(article: str) -> float:
    """Tell the price of an article in euros.

    Args:
        article: The article, such as kettle-07.
    """
    return 10.0 + len(article)


def warehouse() -> MCPServer:
    """Return the server; it is started when the job opens, in a process of its own."""
    return MCPServer(
        sys.executable, args=["-m", "perdure.testing.mcp", str(HERE / "tools.py")], timeout=30
    )


def scripted(messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> ChatMessage:
    """Stand for a model: ask for two tools at once, then for a third, then answer."""
    _, article, rest = next(m for m in messages if m.role is MessageRole.USER).content.split(" ", 2)
    article, currency = article.rstrip(":"), rest.rsplit(" in ", 1)[1][:3]
    results = {m.tool_name: m.content for m in messages if m.role is MessageRole.TOOL}
    if "price" not in results:
        wanted = [("price", {"article": article}), ("stock", {"article": article})]
    elif "convert" not in results:
        amount = json.loads(results["price"])
        wanted = [("convert", {"amount": amount, "currency": currency})]
    else:
        pieces, amount = results["stock"], results["convert"]
        return ChatMessage.assistant(f"{article}: {pieces} in stock, {amount} {currency} each.")
    calls = [ToolCall(id=name, name=name, arguments=arguments) for name, arguments in wanted]
    return ChatMessage.assistant("", calls)


def agent(model: str | None = None) -> ReActAgent:
    """Return the agent.

    Args:
        model: `provider:model`; None: the script.
    """
    tools = [price, warehouse()]
    if model is None:
        chat_model = ChatModel("script", connection=ScriptedChatModel(scripted), tools=tools)
    else:
        chat_model = ChatModel(model, tools=tools)
    return ReActAgent(chat_model=chat_model, prompt=PROMPT)


def main(model: str | None = None) -> None:
    """Answer the questions of the sample and print the answers."""
    lines = (HERE / "questions.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    for output in LocalEngine("memory://").run(agent(model), questions, key="article"):
        print(output.value)


if __name__ == "__main__":
    main(*sys.argv[1:2])
