"""Agents in YAML: what is built of a file, and where each mistake in it is said to be."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from perdure import Agent, ConfigurationError, LocalEngine
from perdure.agent.declaration import agent_resources
from perdure.agent.plan import AgentPlan
from perdure.config.configuration import Configuration
from perdure.llm.events import ChatResponseEvent, ToolRequestEvent, ToolResponseEvent
from perdure.resource import Resource, ResourceType
from perdure.yaml_agent.aliases import CLASSES
from perdure.yaml_agent.load import AgentFile, load_agent
from perdure.yaml_agent.schema import FILE_NAME, json_schema, schema_text
from perdure.yaml_agent.spec import FILE, FORMS

STEPS = '''
import dataclasses

from perdure import Event, InputEvent, OutputEvent
from perdure.llm.chat_model import BaseChatModelConnection
from perdure.llm.message import ChatMessage
from perdure.resource import Resource, ResourceType
from perdure.llm.tool import tool


class Echo(BaseChatModelConnection):
    def __init__(self, *, word: str, times: int = 1):
        if times < 1:
            raise ValueError("times is too small")
        self.word, self.times = word, times

    def chat(self, messages, tools=None, **kwargs):
        return ChatMessage.assistant(self.word * self.times)


class Outside(Resource):
    RESOURCE_TYPE = ResourceType.AGENT

    def __init__(self, *, url):
        self.url = url


@dataclasses.dataclass
class Verdict:
    score: int


def begin(event, ctx):
    ctx.send_event(OutputEvent(output={"got": event.input, **ctx.action_config}))


class Steps:
    def end(event, ctx):
        pass


def lookup(order: str, tenant: str = "") -> str:
    """Find an order."""
    return order


@tool(requires_approval=True)
def refund(order: str) -> str:
    """Pay back."""
    return order


def odd(event, ctx, more):
    pass


def wrongly(event: int, ctx):
    pass


number = 3
'''

AGENT = """\
name: shop
actions:
  - {name: begin, function: yaml_steps.py:begin, trigger_conditions: [input]}
"""


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules that a test loads, and the folders that it puts on the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yaml_steps.py").write_text(STEPS, "utf-8")
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


def write(text: str, name: str = "agent.yaml") -> str:
    Path(name).write_text(textwrap.dedent(text), "utf-8")
    return name


def loaded(text: str, name: str | None = None) -> Agent:
    return load_agent(write(text), name)


def resource(agent: Agent, name: str) -> Any:
    found = [each.source for each in agent_resources(agent) if each.name == name]
    assert len(found) == 1, name
    return found[0]


def triggers(agent: Agent) -> dict[str, tuple[str, ...]]:
    plan = AgentPlan.from_agent(agent)
    return {each.name: each.triggers for each in plan.actions}


# What is built

FLINK_AGENTS = """\
agents:
  - name: review_analysis_agent
    description: Analyze product reviews and emit a satisfaction score.
    actions:
      - name: process_input
        function: yaml_steps:begin
        trigger_conditions: [input]
        type: python
      - name: process_chat_response
        function: yaml_steps:Steps.end
        listen_to: [chat_response, my_event]
        type: python
    chat_model_connections:
      - name: ollama_server
        clazz: ollama
        type: python
        base_url: http://127.0.0.1:9
        request_timeout: 120
        max_retries: 5
    chat_model_setups:
      - name: review_analysis_model
        clazz: ollama
        type: python
        connection: ollama_server
        model: qwen3:8b
        prompt: review_analysis_prompt
        tools: [notify_shipping_manager]
        extract_reasoning: true
        temperature: 0.5
    prompts:
      - name: review_analysis_prompt
        messages:
          - role: system
            content: "Analyze the review and return JSON like {\\"score\\": 5}."
          - role: user
            content: "{input}"
      - name: other
        text: "this is the {value}"
    tools:
      - name: notify_shipping_manager
        function: yaml_steps:lookup
        type: python
        injected_args:
          tenant: {source: config, key: tenant_id}
"""


def test_a_file_of_flink_agents_is_an_agent() -> None:
    agent = loaded(FLINK_AGENTS)
    assert triggers(agent) == {
        "process_input": ("_input_event",),
        "process_chat_response": ("_chat_response_event", "my_event"),
    }
    model = resource(agent, "review_analysis_model")
    assert (model.connection, model.model) == ("ollama_server", "ollama:qwen3:8b")
    assert model.settings == {"temperature": 0.5}
    assert model.tools == ("notify_shipping_manager",)
    # A connection's own bounds hold for the setups that use it.
    assert (model.timeout, model.retry.max_attempts) == (120, 6)
    assert resource(agent, "ollama_server")._source.base_url == "http://127.0.0.1:9/v1"
    prompt = resource(agent, "review_analysis_prompt")
    assert [each.role.value for each in prompt.template] == ["system", "user"]
    assert prompt.template[0].content.endswith('{"score": 5}.')
    tool = resource(agent, "notify_shipping_manager")
    assert tool.name == "notify_shipping_manager"
    assert list(tool.parameters["properties"]) == ["order"]
    assert tool.injected_args["tenant"].key == "tenant_id"


def test_a_function_without_annotations_gets_the_events_class() -> None:
    agent = loaded(
        """\
        agents: [{name: a, actions: [one, both, typed]}]
        actions:
          one: {function: yaml_steps:begin, trigger_conditions: chat_response}
          both: {function: yaml_steps:begin, trigger_conditions: [input, tool_response]}
          typed: {function: yaml_steps:begin, trigger_conditions: _tool_request_event}
        """
    )
    plan = AgentPlan.from_agent(agent)
    classes = {each.name: each.event_class for each in plan.actions}
    assert classes == {"one": ChatResponseEvent, "both": None, "typed": ToolRequestEvent}
    assert plan.event_class_for("_tool_response_event") is ToolResponseEvent


def test_the_short_way() -> None:
    agent = loaded(
        AGENT
        + """\
chat_models:
  analyst:
    model: test
    prompt: Be short.
    tools: [lookup, yaml_steps.py:refund, {function: yaml_steps:lookup, name: find, timeout: 3}]
    output_schema: yaml_steps:Verdict
    max_rounds: 2
    retry: {max-attempts: 3, initial_interval: 0.5}
    temperature: 0.1
  quick: test
tools: {lookup: yaml_steps.py:lookup}
prompts: {hello: "Say hello to {name}."}
subagents:
  helper: {chat_model: quick, description: Helps., prompt: hello}
embedding_models: {small: "local:minilm"}
vector_stores: {docs: embedded}
"""
    )
    analyst = resource(agent, "analyst")
    assert analyst.prompt.template == "Be short."
    lookup, refund, find = analyst.tools
    assert (lookup, refund.name, find.name) == ("lookup", "refund", "find")
    assert refund.requires_approval  # as @tool says
    assert find.timeout == 3
    assert analyst.output_schema.type is sys.modules["yaml_steps"].Verdict
    assert (analyst.max_rounds, analyst.settings) == (2, {"temperature": 0.1})
    assert (analyst.retry.max_attempts, analyst.retry.initial_interval) == (3, 0.5)
    helper = resource(agent, "helper")
    assert helper.description == "Helps."
    assert helper.chat_model.prompt == "hello"
    assert helper.chat_model is not resource(agent, "quick")
    assert resource(agent, "small").model == "minilm"
    assert resource(agent, "docs").resource_type() is ResourceType.VECTOR_STORE


def test_shared_things_are_every_agents_and_an_agents_own_go_before_them() -> None:
    text = """\
    agents:
      one:
        actions:
          - again
          - {name: own, function: yaml_steps:begin, trigger_conditions: my_event}
        prompts: {p: own}
      two:
        actions: [again]
    actions:
      again: {function: yaml_steps:begin, trigger_conditions: [input], config: {n: 5}}
      unused: {function: yaml_steps:begin, trigger_conditions: [input]}
    prompts: {p: shared, q: more}
    """
    one, two = loaded(text, "one"), loaded(text, "two")
    assert list(triggers(one)) == ["again", "own"]
    assert list(triggers(two)) == ["again"]
    assert resource(one, "p").template == "own"
    assert resource(two, "p").template == "shared"
    assert resource(one, "q").template == "more"
    assert resource(one, "q") is not resource(two, "q")
    outputs = LocalEngine(store="memory://").run(two, [{"id": 1}], key="id")
    assert outputs[0].value == {"got": {"id": 1}, "n": 5}


def test_included_files_share_what_they_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("infra").mkdir()
    Path("infra/yaml_more.py").write_text("def find(x: str): pass\n", "utf-8")
    write(
        """\
        chat_model_connections: {c: {clazz: openai, api_key: key}}
        tools: {find: yaml_more.py:find}
        prompts: {p: included}
        """,
        "infra/test.yaml",
    )
    single = AGENT + "include: infra/${PERDURE_TEST_STAGE:-test}.yaml\nprompts: {p: own}\n"
    agent = loaded(single + "chat_models: {m: {model: gpt, connection: c, tools: [find]}}\n")
    assert resource(agent, "m").model == "openai:gpt"
    assert resource(agent, "find").func is sys.modules["yaml_more"].find
    assert resource(agent, "p").template == "own"

    several = AGENT.replace("name: shop\n", "agents: {a: {actions: [begin]}}\n")
    assert resource(loaded(several + "include: [infra/test.yaml]"), "p").template == "included"
    assert refusal(several + "include: [infra/test.yaml]\nprompts: {p: own}") == (
        "infra/test.yaml:3:11: the prompt 'p' stands in agent.yaml:5:11 already: rename one"
    )
    assert refusal(several + "include: [infra/tst.yaml]") == (
        "agent.yaml:4:11: there is no file infra/tst.yaml: did you mean infra/test.yaml?"
    )
    write("agents: []\n", "infra/test.yaml")
    assert refusal(single).startswith("infra/test.yaml:1:1: unknown key 'agents' of the included")
    write("[]\n", "infra/test.yaml")
    assert "an included file is a mapping" in refusal(single)


def test_a_setup_without_a_connection_has_one_of_its_own() -> None:
    setups = "{name: s, clazz: ollama, model: 'm:8b', think: true, base_url: 'http://127.0.0.1:9/'}"
    model = resource(loaded(AGENT + f"chat_model_setups: [{setups}]\n"), "s")
    assert model.connection.model == "ollama:m:8b"
    assert model.connection._source.base_url == "http://127.0.0.1:9/v1"
    assert model.settings == {"thinking": True}


def test_anchors_merge_keys_and_extensions() -> None:
    agent = loaded(
        "x-model: &base {model: test, temperature: 0.1, top_p: 0.5}\n"
        + AGENT
        + "chat_models:\n  a: {<<: *base, temperature: 0.9}\n  b: *base\n"
    )
    assert resource(agent, "a").settings == {"temperature": 0.9, "top_p": 0.5}
    assert resource(agent, "b").settings == {"temperature": 0.1, "top_p": 0.5}


def test_the_environment_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TEST_WORD", "12")
    monkeypatch.setenv("PERDURE_TEST_EMPTY", "")
    agent = loaded(
        AGENT
        + """\
chat_model_connections:
  - name: a
    clazz: yaml_steps.Echo
    word: "${PERDURE_TEST_WORD}"
    times: ${PERDURE_TEST_WORD}
  - {name: b, clazz: "yaml_steps:Echo", word: "$${x} ${PERDURE_TEST_EMPTY:-no}${NO_SUCH:-thing}"}
prompts: {price: "It costs ${price}"}
chat_models: {m: {model: test, max_rounds: "${PERDURE_TEST_WORD}"}}
"""
    )
    first = resource(agent, "a")
    assert (first.word, first.times) == ("12", 12)  # what is in quotes stays text
    assert resource(agent, "m").max_rounds == 12
    assert resource(agent, "b").word == "${x} nothing"
    assert resource(agent, "price").template == "It costs ${price}"  # prompts have their own places


def test_a_missing_variable_of_another_agent_does_not_matter() -> None:
    other = "chat_models: {m: {model: test, %s: '${NO_SUCH_KEY}'}}"
    template = """\
    agents:
      a: {actions: [go]}
      b: {actions: [go], OTHER}
    actions: {go: {function: yaml_steps:begin, trigger_conditions: input}}
    """
    for key in ("api_key", "connection", "max_rounds", "output_mode", "fallbacks"):
        text = template.replace("OTHER", other % key)
        assert list(triggers(loaded(text, "a"))) == ["go"]
        message = refusal(text, "b")
        assert message.startswith("agent.yaml:3:")
        assert "NO_SUCH_KEY is not set" in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_rounds", "many", "max_rounds must be a whole number, not 'many'"),
        ("output_mode", "nativ", "output_mode is 'nativ': did you mean 'native'?"),
        ("retry", "{max-attempts: '${PERDURE_TEST_VALUE}'}", "max_attempts must be a whole number"),
        ("connection", "c", "there is no chat model connection 'c'"),
    ],
)
def test_what_comes_from_the_environment_is_checked_too(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, expected: str
) -> None:
    monkeypatch.setenv("PERDURE_TEST_VALUE", value)
    given = value if value.startswith("{") else "'${PERDURE_TEST_VALUE}'"
    message = refusal(AGENT + f"chat_models:\n  m: {{model: test, {key}: {given}}}\n")
    assert expected in message
    assert message.startswith("agent.yaml:5:")


def test_a_react_agent() -> None:
    text = """\
    name: helper
    react:
      chat_model: %s
      prompt: ask
      tools: [lookup]
      output_schema: {type: object, properties: {score: {type: integer}}}
    chat_models: {m: {model: test, temperature: 0.5, tools: [yaml_steps:refund]}}
    chat_model_connections: {e: {clazz: yaml_steps.Echo, word: x}}
    chat_model_setups: {s: {connection: e, model: any}}
    tools: {lookup: yaml_steps:lookup}
    prompts: {ask: "What is {x}?"}
    """
    for given in ("m", "s", "test:any", "{model: test}"):
        agent: Any = loaded(text % given)
        assert set(triggers(agent)) == {"start_action", "stop_action"}
        assert agent.prompt.template == "What is {x}?"
        model = resource(agent, "react_chat_model")
        # Its tools are further ones.
        own = ["refund"] if given == "m" else []
        assert [getattr(each, "name", each) for each in model.tools] == [*own, "lookup"]
        assert model.output_schema is not None
        assert model.settings == ({"temperature": 0.5} if given == "m" else {})
    assert len(resource(agent, "m").tools) == 1


def test_what_a_server_offers_need_not_be_declared() -> None:
    text = AGENT + "chat_models: {m: {model: test, tools: [search], prompt: server-prompt}}\n"
    servers = "mcp_servers:\n  - {name: s, clazz: mcp, endpoint: 'http://127.0.0.1:9/mcp'}\n"
    agent = loaded(text + servers)
    assert resource(agent, "m").tools == ("search",)
    assert resource(agent, "m").prompt == "server-prompt"
    assert "no prompt 'server-prompt'" in refusal(text)
    assert "no tool 'search'" in refusal(text.replace(", prompt: server-prompt", ""))


def test_a_resource_class_of_ones_own() -> None:
    agent = loaded(AGENT + "subagents: {o: {clazz: 'yaml_steps.py:Outside', url: 'http://x'}}\n")
    assert resource(agent, "o").url == "http://x"


def test_each_agent_made_has_resources_of_its_own() -> None:
    file = AgentFile.read(write(AGENT + "prompts: {p: x}\n"))
    assert file.names == ("shop",)
    assert resource(file.agent(), "p") is not resource(file.agent("shop"), "p")


def test_the_name_is_that_of_the_file_by_default() -> None:
    file = AgentFile.read(write(AGENT.partition("\n")[2], "orders.yml"))
    assert file.names == ("orders",)


def test_options_are_checked_together_once_all_of_them_are_known() -> None:
    text = "config: {retry: {initial-interval: 100, max-interval: 200}}"
    config = AgentFile.read(write(AGENT + f"{text}\n")).config
    policy = Configuration(config).retry_policy()
    assert policy is not None
    assert (policy.initial_interval, policy.max_interval) == (100, 200)


def test_the_configuration_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TEST_THREADS", "3")
    config = (
        "{num-async-threads: '${PERDURE_TEST_THREADS}', retry: {max-attempts: 2}, agent.x: [1]}"
    )
    file = AgentFile.read(write(AGENT + f"config: {config}\n"))
    assert file.config == {
        "num-async-threads": "3",
        "retry": {"max-attempts": 2},
        "agent.x": [1],
    }
    Path("more.yaml").write_text("retry.max-attempts: 4\ntimeout: 9\n", "utf-8")
    merged = Configuration.load(
        "more.yaml", {"PERDURE_TIMEOUT": "8"}, ["timeout=7"], below=file.config
    )
    assert merged == Configuration(
        {"num-async-threads": 3, "retry.max-attempts": 4, "agent.x": [1], "timeout": 7.0}
    )
    assert merged.agent["x"] == [1]


@pytest.mark.parametrize(
    ("type_", "alias"), [(type_, alias) for type_, known in CLASSES.items() for alias in known]
)
def test_every_alias_names_a_class(type_: ResourceType, alias: str) -> None:
    module, _, name = CLASSES[type_][alias].rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    assert issubclass(cls, Resource)
    assert cls.RESOURCE_TYPE is type_


# Where a mistake is


def refusal(text: str, name: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(text, name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def places(text: str, marked: str) -> str:
    """Return where `marked` stands in a text."""
    before, found, _ = text.partition(marked)
    assert found, marked
    return f"agent.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "


def test_skills_are_relative_to_the_file(tmp_path: Path) -> None:
    Path("deep").mkdir()
    text = AGENT.replace("yaml_steps.py", "../yaml_steps.py") + (
        "skills:\n"
        "  office: {paths: [skills, /more.zip], package: [{package: kit, resource: s}], urls: h://x}\n"
        "  short: skills\n"
        "chat_models:\n"
        "  m: {model: test, skills: [pdf], allowed_commands: ls, allowed_script_dirs: [bin],\n"
        "      tool_options: {bash: {requires_approval: true}}}\n"
    )
    agent = load_agent(write(text, "deep/agent.yaml"))
    assert [dict(each.params) for each in resource(agent, "office").sources] == [
        {"path": "deep/skills"}, {"path": "/more.zip"}, {"package": "kit", "resource": "s"},
        {"url": "h://x"},
    ]  # fmt: skip
    assert len(resource(agent, "short").sources) == 1
    setup = resource(agent, "m")
    assert (setup.skills, setup.allowed_commands) == (("pdf",), ("ls",))
    assert setup.allowed_script_dirs == ("deep/bin",)
    assert setup.tool_options == {"bash": {"requires_approval": True}}


# The text after AGENT, what the place is of, and what is said.
MISTAKES = [
    # keys
    ("promts: {}", "promts", "unknown key 'promts' of the agent: did you mean 'prompts'?"),
    ("zzz: 1", "zzz", "unknown key 'zzz' of the agent: its keys are: name, description"),
    ("skills: {s: {classpath: [x]}}", "classpath", "it is for Java: name folders or zips"),
    ("skills: {s: {}}", "{}}", "the skills have no source: add the key 'paths' or 'package'"),
    ("skills: {s: {package: kit}}", "kit", "package is a list, each with package and resource"),
    ("skills: {s: {package: [{package: kit}]}}", "{package: kit}", "has no resource"),
    ("tools: {t: {function: 'm:f', timout: 3}}", "timout", "did you mean 'timeout'?"),
    ("tools: {t: {timeout: 3}}", "{timeout", "the tool has no function: add the key 'function'"),
    ("chat_models: {m: {model: test, promt: x}}", "promt", "did you mean 'prompt'?"),
    ("chat_models: {m: {prompt: x y}}", "{prompt", "the chat model has no model"),
    ("prompts: [{text: x}]", "{text", "the prompt has no name"),
    ("prompts: [{name: 5, text: x}]", "5, text", "name must be text, not 5: put it in quotes"),
    ("prompts: [p]", "p]", "in a list, the prompt must be a mapping"),
    ("prompts: 3", "3", "write a list of prompts, each with a name, or a mapping by name"),
    ("prompts: {p: 3}", "3", "the prompt must be a mapping, or its text, not 3"),
    ("prompts: {p: {name: q, text: x}}", "name: q", "its name is 'p' already"),
    ("prompts: {p: {text: x, messages: [{content: y}]}}", "messages", "has text already"),
    ("prompts: {p: {text: ''}}", "{text", "the prompt has no text: add the key text or messages"),
    ("prompts: {p: {messages: [{role: boss, content: x}]}}", "boss", "role is 'boss': there are"),
    ("prompts: {p: {messages: [{role: user}]}}", "{role", "the message has no content"),
    ("prompts: {p: {messages: {}}}", "{}}}", "messages is a list of messages"),
    ("mcp_servers: {s: {clazz: mcp, url: 'http://x', tmeout: 3}}", "tmeout", "'timeout'?"),
    # twice
    ("prompts: {p: x, p: y}", "p: y", "the key 'p' stands here twice, first in line 4"),
    ("prompts: [{name: p, text: x}, {name: p, text: y}]", "p, text: y",
     "the prompt 'p' stands in line 4 already: rename one"),
    ("chat_models: {m: test}\nchat_model_setups: {m: {clazz: openai, model: x}}", "m: {clazz",
     "the chat model setup 'm' stands in line 4 already"),
    # types
    ("tools: {t: {function: 'm:f', timeout: soon}}", "soon", "must be a number, not 'soon'"),
    ("chat_models: {m: {model: test, max_rounds: 2.5}}", "2.5", "must be a whole number, not 2.5"),
    ("chat_models: {m: {model: test, max_rounds: true}}", "true", "must be a whole number"),
    ("chat_models: {m: {model: 5}}", "5", "model must be text, not 5: put it in quotes"),
    ("chat_models: {m: {model: test, tools: lookup}}", "lookup", "tools is a list of names"),
    ("chat_models: {m: {model: test, retry: 3}}", "3", "retry must be a mapping, not 3"),
    ("chat_models: {m: {model: test, retry: {max-atempts: 3}}}", "max-at", "'max_attempts'?"),
    ("chat_models: {m: {model: test, retry: {max_attempts: 0}}}", "{max_at", "RetryPolicy: "),
    ("chat_models: {m: {model: test, output_mode: nativ}}", "nativ", "did you mean 'native'?"),
    ("chat_models: {m: {model: test, fallbacks: []}}", "[]", "fallbacks is empty"),
    ("tools: {t: {function: 'm:f', requires_approval: 'yes'}}", "'yes'", "true or false, not"),
    ("tools: {t: {function: lookup}}", "lookup", "write module:function or file.py:function"),
    ("tools: {t: {function: 'm:f', type: java}}", "java", "perdure runs Python alone"),
    ("tools: {t: {function: 'm:f', parameter_types: []}}", "parameter", "it is for Java"),
    ("tools: {t: {function: 'm:f', injected_args: {x: {source: memory}}}}", "memory}",
     "source is 'memory': did you mean"),
    # references
    ("chat_models: {m: {model: test, tools: [lokup]}}\ntools: {lookup: 'yaml_steps:lookup'}",
     "lokup", "there is no tool 'lokup': did you mean 'lookup'?"),
    ("chat_models: {m: {model: test, prompt: p}}", "p}}",
     "there is no prompt 'p': declared are: none; a text of one word is {text: ...}"),
    ("chat_models: {m: {model: test, fallbacks: [n]}}", "n]", "there is no chat model 'n'"),
    ("chat_models: {m: {model: test, connection: c}}", "c}}", "no chat model connection 'c'"),
    ("chat_model_setups: [{name: s, connection: c}]", "c}", "no chat model connection 'c'"),
    ("vector_stores: {v: {clazz: embedded, embedding_model: e}}", "e}}", "no embedding model 'e'"),
    ("subagents: {s: {chat_model: m}}", "m}}", "there is no chat model 'm'"),
    ("subagents: {s: {description: x}}", "{desc", "the subagent has no chat_model"),
    ("react: {chat_model: m}", "m}", "there is no chat model 'm'"),
    ("react: {chat_model: 'test:x', tools: [t]}", "t]", "there is no tool 't'"),
    ("react: {tools: []}", "{tools", "the react has no chat_model"),
    # code
    ("tools: {t: 'yaml_steps.py:lokup'}", "'yaml", "has no 'lokup': did you mean 'lookup'?"),
    ("tools: {t: 'yaml_stps.py:f'}", "'yaml", "did you mean yaml_steps.py?"),
    ("tools: {t: 'yaml_stps:f'}", "'yaml", "no module 'yaml_stps': did you mean yaml_steps?"),
    ("tools: {t: 'yaml_steps:number'}", "'yaml", "is a int: name a function"),
    ("tools: {'bad name': 'yaml_steps:lookup'}", "'yaml", "names no tool"),
    ("chat_models: {m: {model: test, output_schema: 'yaml_steps:number'}}", "'yaml",
     "output_schema: "),
    # classes
    ("chat_model_connections: {c: {clazz: opnai}}", "opnai", "did you mean 'openai'?"),
    ("chat_model_connections: {c: {clazz: watsonx}}", "watsonx", "the aliases are: openai"),
    ("chat_model_connections: {c: {clazz: no.such.Thing}}", "no.such",
     "there is no module 'no.such'"),
    ("chat_model_connections: {c: {clazz: 'yaml_steps:Outside'}}", "'yaml",
     "the class of 'agent', not of"),
    ("chat_model_connections: {c: {clazz: 'yaml_steps:lookup'}}", "'yaml", "is no Resource class"),
    ("chat_model_connections: {c: {clazz: yaml_steps.Echo, wrd: x}}", "wrd",
     "Echo takes no 'wrd': did you mean 'word'?"),
    ("chat_model_connections: {c: {clazz: yaml_steps.Echo}}", "{clazz", "Echo needs word"),
    ("chat_model_connections: {c: {clazz: yaml_steps.Echo, word: x, times: 0}}", "{clazz",
     "Echo: times is too small"),
    ("embedding_models: {e: minilm}", "minilm", "name provider and model"),
    # configuration
    ("config: {num-async-treads: 3}", "num-async", "did you mean num-async-threads?"),
    ("config: {retry: {max-attempts: x}}", "max-attempts", "must be a whole number"),
    ("config: {retry: {initial-interval: 9, max-interval: 3}}", "{retry", "is longer than"),
    ("config: 3", "3", "config must be a mapping, not 3"),
    # the environment
    ("chat_models: {m: {model: test, api_key: '${NO_SUCH}'}}", "'${",
     "the environment variable NO_SUCH is not set: set it, or write ${NO_SUCH:-default}"),
    ("chat_models: {m: {model: test, api_key: '${no such}'}}", "'${", "names no environment"),
    # what stands there, and nothing of how it is read
    ("config: [timeout]", "[", "config must be a mapping, not ['timeout']"),
    ("tools: {t: {function: [a, {b: '${C}'}]}}", "[a", "text, not ['a', {'b': '${C}'}]: put"),
    ("tools: {t: {function: 'm:f', timeout: [3]}}", "[3]", "must be a number, not [3]"),
    ("tools: {t: {function: 'm:f', injected_args: [x]}}", "[x]", "a mapping, not ['x']"),
    ("tools: {t: {function: 'm:f', retry: {max-attempts: 2, max_attempts: 3}}}", "max-att",
     "max-attempts stands here as max_attempts already: remove one"),
    # YAML
    ("prompts: {p: [}", "}", "this is no YAML: "),
    ("chat_models: {m: {model: test, api_key: ${KEY}}}", "{KEY",
     "inside { } and [ ], put ${...} in quotes"),
    ("prompts: {? [a] : x}", "[a]", "a key must be text"),
    ("prompts: {'': x}", "'': x", "the prompt has an empty name"),
    ("chat_models: {m: {model: test, tools: [3]}}", "3]", "a tool must be text or a mapping"),
    ("chat_models: {m: {model: test, output_schema: {type: 3}}}", "{type", "output_schema: $.type"),
    ("chat_models: {m: {model: test, output_schema: {type: object, $ref: '#/$defs/no'}}}", "{type",
     "output_schema: its $ref '#/$defs/no' leads nowhere"),
    ("x-a: 1\n---\na: 1", "---", "expected a single document in the stream, but found another"),
    ("prompts: {on: x}", "on: x", "the key 'on' is no text: put it in quotes"),
    ("prompts: &a {p: *a}", "&a", "this anchor stands inside itself"),
    ("prompts: *nowhere", "*nowhere", "found undefined alias"),
    ("prompts: {<<: 3}", "3", "<< takes in a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "marked", "expected"), MISTAKES)
def test_a_mistake_is_placed_and_explained(more: str, marked: str, expected: str) -> None:
    text = AGENT + more + "\n"
    message = refusal(text)
    assert expected in message
    place = "agent.yaml:" + str(AGENT.count("\n") + 1 + more.partition(marked)[0].count("\n"))
    assert message.startswith(f"{place}:"), message
    before = more.partition(marked)[0]
    assert message.startswith(f"{place}:{len(before) - before.rfind(chr(10))}: "), message


# What is known only when the job opens.
AT_THE_OPENING = [
    ("chat_models:\n  m: openai", "openai", "names no provider"),
    ("chat_models:\n  m: {model: test, temprature: 3}", "{model", "is no setting of a chat model"),
    (
        "chat_models:\n  m: {model: 'openai:x', api_key: k, base_url: 'no url'}",
        "{model",
        "no address",
    ),
    ("skills:\n  s: {paths: nowhere}", "{paths", "there is no folder"),
    ("react: 'nope:gpt'", "'nope", "names no known provider"),
]


@pytest.mark.parametrize(("more", "marked", "expected"), AT_THE_OPENING)
def test_a_mistake_that_the_opening_finds_is_placed(more: str, marked: str, expected: str) -> None:
    text = AGENT + more + "\n"
    engine = LocalEngine("memory://")
    with pytest.raises(ConfigurationError, match=expected) as refused:
        engine.run(load_agent(write(text)), [1], key=str)
    assert str(refused.value).startswith(places(text, marked))


# Whole files, what the place is of, and what is said.
FILES = [
    ("[]", "[]", "an agent file is a mapping"),
    ("agents: []\n", "[]", "there is no agent in it"),
    ("agents: {a: {name: b}}", "name: b", "its name is 'a' already"),
    ("agents: [{name: a, actions: [x]}]", "x]", "declares no action 'x' beside agents"),
    ("agents: [{name: a}]", "{name", "the agent 'a' has no actions: add the key 'actions'"),
    ("agents: [{name: a, react: }]", "{name", "the agent 'a' has no actions"),
    ("name: ''", "''", "the agent has an empty name"),
    ("agents: [{name: a}, {name: a}]", "a}]", "the agent 'a' stands in line 1 already"),
    ("agents: []\nconfg: {}", "confg", "did you mean 'config'?"),
    ("actions: {a: {function: 'yaml_steps:begin'}}", "{function", "no trigger_conditions"),
    ("actions: {a: {function: 'yaml_steps:begin', trigger_conditions: []}}", "[]", "is empty"),
    ("actions: {a: {function: 'yaml_steps:begin', trigger_conditions: [true]}}", "true",
     "trigger_conditions holds text, not True: put it in quotes"),
    ("actions: {a: {function: 'yaml_steps:begin', trigger_conditions: [output]}}", "output",
     "outputs leave the run"),
    ("actions: {a: {function: 'yaml_steps:begin', trigger_conditions: ['a ==']}}", "{function",
     "condition 'a =='"),
    ("actions: {a: {function: 'yaml_steps:odd', trigger_conditions: input}}", "{function",
     "must take (event, ctx)"),
    ("actions: {a: {function: 'yaml_steps:number', trigger_conditions: input}}", "'yaml",
     "is a int: name a function"),
    ("actions: {a: {function: 'yaml_steps:wrongly', trigger_conditions: input}}", "actions",
     "its event parameter is annotated int"),
    ("actions: {a: {function: 'yaml_steps:begin', trigger_conditions: input, config: {func: 1}}}",
     "{function", "multiple values for argument 'func'"),
    ("react: 'test:x'\nactions: {start_action: {function: 'yaml_steps:begin', listen_to: x}}",
     "{function", "has an action 'start_action' already"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "marked", "expected"), FILES)
def test_a_mistake_in_a_file_is_placed_and_explained(text: str, marked: str, expected: str) -> None:
    message = refusal(text)
    assert expected in message
    assert message.startswith(places(text, marked)), message


def test_files_that_are_none() -> None:
    assert refusal("") == "agent.yaml is empty: declare an agent in it"
    assert refusal("# nothing\n") == "agent.yaml is empty: declare an agent in it"
    assert refusal("a: \x07").startswith("agent.yaml:1: the character U+0007 may not stand")
    with pytest.raises(ConfigurationError, match=r"no file agnt.yaml: did you mean agent.yaml\?"):
        load_agent("agnt.yaml")
    with pytest.raises(ConfigurationError, match="is a folder"):
        load_agent(".")
    Path("agent.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigurationError, match=r"cannot read agent\.yaml"):
        load_agent("agent.yaml")


def test_code_that_does_not_load_is_placed_in_both_files() -> None:
    Path("yaml_broken.py").write_text("x = 1\nraise ValueError('no')\n", "utf-8")
    message = refusal(AGENT + "tools: {t: 'yaml_broken.py:f'}\n")
    assert message.startswith("agent.yaml:4:")
    assert "yaml_broken.py:2 does not load: ValueError: no" in message


def test_an_agent_has_to_be_chosen_where_there_are_several() -> None:
    text = """\
    agents: [{name: one, actions: [go]}, {name: two, actions: [go]}]
    actions: {go: {function: yaml_steps:begin, trigger_conditions: input}}
    """
    assert refusal(text) == (
        "agent.yaml has several agents: choose of one, two, such as agent.yaml:one"
    )
    assert refusal(text, "tow") == "agent.yaml has no agent 'tow': did you mean 'two'?"


def test_functions_of_a_file_are_named_by_its_stem() -> None:
    # As `perdure run steps.py:...` names them: one goes on with the journal of the other.
    plan = AgentPlan.from_agent(loaded(AGENT))
    assert plan.actions[0].func is sys.modules["yaml_steps"].begin


# The page

PAGE = Path(__file__).parents[2] / "docs" / "yaml-agents.md"


def test_the_files_of_the_page_are_right() -> None:
    blocks = re.findall(r"```yaml\n(# (\S+\.yaml)\n)?(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for _, name, text in blocks:
        file = write(text, name or "unnamed.yaml")
        if "connections" not in file:
            assert AgentFile.read(file).names
            assert errors_of(text) == [], file
    assert len(blocks) > 5


def test_the_page_names_every_key_and_every_alias() -> None:
    page = set(re.findall(r"`([\w.]+)`", PAGE.read_text("utf-8")))
    keys = {key for form in (FILE, *FORMS) for key in form.keys}
    assert keys - page == set()
    assert {alias for known in CLASSES.values() for alias in known} - page - {"agent"} == set()


# The JSON schema


def test_the_shipped_schema_is_up_to_date() -> None:
    assert FILE_NAME.read_text("utf-8") == schema_text(), (
        "run `python -m perdure.yaml_agent.schema`"
    )


def errors_of(text: str) -> list[str]:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(json_schema())
    data = json.loads(json.dumps(yaml.safe_load(text)))
    return [each.message for each in Draft202012Validator(json_schema()).iter_errors(data)]


def test_the_schema_takes_what_is_right_and_refuses_what_is_wrong() -> None:
    assert errors_of(FLINK_AGENTS) == []
    assert errors_of(AGENT + "chat_models: {m: test, n: {model: test, temperature: 1}}\n") == []
    assert errors_of(AGENT + "x-more: 3\n") == []
    assert errors_of(AGENT + "promts: {}\n")
    assert errors_of(AGENT + "tools: {t: {timeout: 3}}\n")
    assert errors_of(AGENT + "tools: [{function: 'm:f'}]\n")
    assert errors_of("agents: []\nname: x\n")
