"""`perdure run` on YAML agents, in real processes; the model is a script beside the file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import zygote
from tests.patience import PATIENCE

COMMAND = str(Path(sys.executable).with_name("perdure"))
LIMIT_SECONDS = PATIENCE

CODE = '''
import dataclasses
import json

from perdure import OutputEvent
from perdure.llm.events import ChatRequestEvent
from perdure.llm.chat_model import BaseChatModelConnection
from perdure.llm.message import ChatMessage, ToolCall


class Scripted(BaseChatModelConnection):
    """Asks for the stock once, and then says what it was told."""

    def __init__(self, *, greeting):
        self.greeting = greeting

    def chat(self, messages, tools=None, *, model, **kwargs):
        with open("calls.log", "a") as file:
            file.write(f"chat {model} {[each.name for each in tools or ()]}\\n")
        last = messages[-1]
        if last.role.value == "user" and tools:
            call = ToolCall(id="1", name=tools[0].name, arguments={"item": last.content})
            return ChatMessage.assistant("", tool_calls=[call])
        first = next(each for each in messages if "JSON schema" not in each.content)
        said = f"{self.greeting} {first.content} | {last.content}"
        return ChatMessage.assistant(json.dumps({"said": said}))


def stock(item: str, shop: str) -> str:
    """Say how many there are.

    Args:
        item: What is looked for.
    """
    with open("calls.log", "a") as file:
        file.write(f"stock {item} {shop}\\n")
    return f"{len(item)} in {shop}"


def ask(event, ctx):
    limit = ctx.action_config["limit"]
    ctx.send_event(ChatRequestEvent("clerk", event.input["item"][:limit], {"who": "Ada"}))


async def answer(event, ctx):
    output = {"clerk": json.loads(event.response.content)["said"], "key": ctx.key}
    ctx.send_event(OutputEvent(output=output))


def count(event, ctx):
    from perdure.config.configuration import AgentExecutionOptions as Options

    threads = ctx.config.get(Options.NUM_ASYNC_THREADS)
    timeout = ctx.config.get(Options.TIMEOUT)
    retries = ctx.config.get(Options.MAX_RETRIES)
    ctx.send_event(OutputEvent(output=[threads, timeout, retries]))
'''

AGENTS = """\
agents:
  - name: shop
    actions:
      - name: ask
        function: yaml_shop.py:ask
        trigger_conditions: [input]
        config: {limit: 5}
      - name: answer
        function: yaml_shop.py:answer
        trigger_conditions: [chat_response]
    chat_model_setups:
      - name: clerk
        connection: scripted
        model: small
        prompt: clerk_prompt
        tools: [stock]
    prompts:
      - name: clerk_prompt
        text: "You help {who}."

  - name: helper
    react:
      chat_model: thinker
      tools: [stock]
      output_schema:
        type: object
        properties: {said: {type: string}}
        required: [said]
    chat_model_setups:
      - {name: thinker, connection: scripted, model: large}

  - name: options
    actions: [count]

actions:
  - {name: count, function: "yaml_shop:count", trigger_conditions: [input]}

chat_model_connections:
  - name: scripted
    clazz: yaml_shop.Scripted
    greeting: ${PERDURE_TEST_GREETING:-hello}

tools:
  - name: stock
    function: yaml_shop:stock
    injected_args:
      shop: {source: constant, value: Berlin}

config:
  num-async-threads: 5
  timeout: 5
  max-retries: 5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "yaml_shop.py").write_text(CODE, "utf-8")
    (tmp_path / "agents" / "agents.yaml").write_text(AGENTS, "utf-8")
    rows = [{"id": "a", "item": "lamp"}, {"id": "b", "item": "umbrella"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return tmp_path


def perdure(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    done = zygote.run(
        [COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        timeout=LIMIT_SECONDS,
        preload=["perdure.yaml_agent.build", "perdure.integrations.llm"],
    )
    return done.returncode, done.stdout, done.stderr


def run(folder: Path, agent: str, *options: str, **environment: str) -> tuple[int, str, str]:
    inputs = ("--input", "in.jsonl", "--key", "id", "--quiet")
    return perdure(folder, "run", agent, *inputs, *options, **environment)


def values(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


def calls(folder: Path) -> list[str]:
    return sorted((folder / "calls.log").read_text("utf-8").splitlines())


def test_an_agent_with_actions_chats_and_calls_tools(folder: Path) -> None:
    code, out, err = run(folder, "agents/agents.yaml:shop", PERDURE_TEST_GREETING="hi")
    assert code == 0, err
    assert sorted(values(out), key=lambda each: each["key"]) == [
        {"clerk": "hi You help Ada. | 4 in Berlin", "key": "a"},
        {"clerk": "hi You help Ada. | 5 in Berlin", "key": "b"},
    ]
    made = calls(folder)
    assert made == [*["chat small ['stock']"] * 4, "stock lamp Berlin", "stock umbre Berlin"]
    # The job is named after the agent too, so that the agents of a file do not meet in one.
    _, jobs, _ = perdure(folder, "runs", "--job", "agents.shop", "--json")
    assert json.loads(jobs)["counts"]["completed"] == 2
    code, out, _ = run(folder, "agents/agents.yaml:shop")
    assert (code, calls(folder)) == (0, made)


def test_a_react_agent(folder: Path) -> None:
    (folder / "in.jsonl").write_text(json.dumps({"id": "a", "input": "lamp"}) + "\n", "utf-8")
    text = (folder / "agents" / "agents.yaml").read_text("utf-8")
    text = text.replace("      tools: [stock]\n      out", '      prompt: "{input}?"\n'
                        "      tools: [stock]\n      out")  # fmt: skip
    (folder / "agents" / "agents.yaml").write_text(text, "utf-8")
    code, out, err = run(folder, "agents/agents.yaml:helper")
    assert code == 0, err
    assert values(out) == [{"said": "hello lamp? | 5 in Berlin"}]
    assert calls(folder) == [*["chat large ['stock']"] * 2, "stock lamp? Berlin"]


def test_the_files_configuration_is_under_all_other(folder: Path) -> None:
    (folder / "more.yaml").write_text("timeout: 6\nmax-retries: 6\n", "utf-8")
    agent = "agents/agents.yaml:options"
    code, out, err = run(folder, agent, "--config", "more.yaml", PERDURE_MAX_RETRIES="7")
    assert code == 0, err
    assert values(out)[0] == [5, 6, 7]
    options = ("--set", "num-async-threads=8", "--job", "other")
    assert values(run(folder, agent, *options)[1])[0] == [8, 5, 5]


@pytest.mark.parametrize(
    ("agent", "change", "expected"),
    [
        ("agents/agents.yaml", ("", ""), "has several agents: choose of shop, helper, options"),
        ("agents/agents.yaml:shp", ("", ""), "has no agent 'shp': did you mean 'shop'?"),
        ("agents/agnts.yaml", ("", ""), "did you mean agents/agents.yaml?"),
        (
            "agents/agents.yaml:shop",
            ("tools: [stock]", "tools: [stok]"),
            "agents/agents.yaml:16:17: there is no tool 'stok': did you mean 'stock'?",
        ),
        (
            "agents/agents.yaml:shop",
            ("${PERDURE_TEST_GREETING:-hello}", "${NO_SUCH_THING}"),
            "agents/agents.yaml:41:15: the environment variable NO_SUCH_THING is not set",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    folder: Path, agent: str, change: tuple[str, str], expected: str
) -> None:
    path = folder / "agents" / "agents.yaml"
    path.write_text(path.read_text("utf-8").replace(*change, 1), "utf-8")
    code, out, err = run(folder, agent)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("perdure: ")
    assert expected in err


def test_the_schema_is_printed(folder: Path) -> None:
    code, out, _ = perdure(folder, "schema")
    assert code == 0
    assert json.loads(out)["title"] == "perdure agent file"
