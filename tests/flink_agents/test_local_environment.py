"""AgentsExecutionEnvironment without `env`: the local engine over a list."""

from __future__ import annotations

import asyncio
import sys

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.event_type import EventType
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceType
from flink_agents.api.runner_context import RunnerContext
from pydantic import BaseModel
from tests.flink_agents.imported_models import Imported

from perdure.errors import ConfigurationError

CALLS: list[int] = []


class Number(BaseModel):
    n: int


def doubled(n: int) -> int:
    CALLS.append(n)
    return 2 * n


class Doubling(Agent):
    @action(EventType.InputEvent)
    @staticmethod
    async def begin(event: Event, ctx: RunnerContext) -> None:
        given = InputEvent.from_event(event).input
        value = await ctx.durable_execute_async(doubled, given.n)
        ctx.send_event(Event(type="doubled", attributes={"value": value, "from": given}))

    @action("doubled")
    @staticmethod
    def end(event: Event, ctx: RunnerContext) -> None:
        assert event.get_attr("from") == {"n": event.get_attr("value") // 2}  # plain by now
        ctx.send_event(OutputEvent(output=Number(n=event.get_attr("value"))))


def environment(store: str = "memory://") -> AgentsExecutionEnvironment:
    return AgentsExecutionEnvironment.get_execution_environment(store=store, job="doubling")


def test_objects_come_and_go_and_a_list_is_read_at_execute(store: str) -> None:
    env = environment(store)
    inputs: list = []
    outputs = env.from_list(inputs).apply(Doubling()).to_list()
    inputs += [{"key": "a", "value": Number(n=1)}, {"k": "b", "v": Number(n=2)}]

    assert outputs == []
    env.execute()

    assert outputs == [{"a": Number(n=2)}, {"b": Number(n=4)}]


def test_g2_the_same_list_again_gives_the_recorded_outputs(tmp_path) -> None:
    url, inputs = f"sqlite:///{tmp_path}/again.db", [{"key": 1, "value": Number(n=7)}]
    CALLS.clear()
    found = []
    for _ in range(2):
        env = environment(url)
        outputs = env.from_list(inputs).apply(Doubling()).to_list()
        env.execute()
        found.append(outputs)

    assert found == [[{1: Number(n=14)}]] * 2
    assert CALLS == [7]


def test_an_input_without_a_key_has_one_of_its_own_that_lasts() -> None:
    keys = []
    for _ in range(2):
        env = environment()
        outputs = env.from_list([{"value": Number(n=1)}, {"v": Number(n=1)}]).apply(Doubling())
        found = outputs.to_list()
        env.execute()
        keys.append([key for each in found for key in each])

    assert keys[0] == keys[1]
    assert keys[0][0] != keys[0][1]


def test_an_input_without_a_value_is_refused() -> None:
    env = environment()
    env.from_list([{"key": "a"}]).apply(Doubling())
    with pytest.raises(RuntimeError, match="'v' or 'value'"):
        env.execute()


def test_everything_is_done_once() -> None:
    env = environment()
    builder = env.from_list([])
    with pytest.raises(RuntimeError, match="from_list"):
        env.from_list([])
    builder.apply(Doubling())
    with pytest.raises(RuntimeError, match="apply"):
        builder.apply(Doubling())
    env.execute("job")
    with pytest.raises(RuntimeError, match="execute"):
        env.execute("job")


def test_nothing_is_executed_without_an_agent_or_in_a_loop() -> None:
    with pytest.raises(RuntimeError, match=r"from_list\(\.\.\.\)\.apply"):
        environment().execute()

    async def in_a_loop() -> None:
        env = environment()
        env.from_list([]).apply(Doubling())
        env.execute()

    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(in_a_loop())


class Failing(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        raise ZeroDivisionError(f"of {InputEvent.from_event(event).input}")


def test_a_failed_run_raises_its_own_error() -> None:
    env = environment()
    env.from_list([{"value": 3}]).apply(Failing())
    with pytest.raises(ZeroDivisionError, match="of 3"):
        env.execute()


class Prompting(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.add_resource("own", ResourceType.PROMPT, Prompt.from_text("the agent's"))

    @action(InputEvent)  # a class stands for its type
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        texts = [ctx.get_resource(n, ResourceType.PROMPT).format_string() for n in ("own", "env")]
        with pytest.raises(KeyError, match="nowhere"):
            ctx.get_resource("nowhere", ResourceType.PROMPT)
        with pytest.raises(KeyError):
            ctx.get_resource("own", ResourceType.SKILLS)
        ctx.send_event(OutputEvent(output=texts))


def test_resources_of_the_environment_give_way_to_the_agents_own() -> None:
    env = environment()
    env.add_resource("own", ResourceType.PROMPT, Prompt.from_text("the environment's"))
    env.add_resource("env", ResourceType.PROMPT, Prompt.from_text("the environment's too"))
    with pytest.raises(ValueError, match="env"):
        env.add_resource("env", ResourceType.PROMPT, Prompt.from_text("twice"))
    outputs = env.from_list([{"key": 0, "value": 0}]).apply(Prompting).to_list()
    env.execute()

    assert outputs == [{0: ["the agent's", "the environment's too"]}]


class Importing(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=Imported(text=ctx.key)))


def test_models_that_the_agents_module_imports_need_no_registration(tmp_path) -> None:
    for _ in range(2):
        env = environment(f"sqlite:///{tmp_path}/imported.db")
        outputs = env.from_list([{"key": "k", "value": 0}]).apply(Importing()).to_list()
        env.execute()
        assert outputs == [{"k": Imported(text="k")}]


class Referring(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        ref = ctx.short_term_memory.set("items.first", {"n": InputEvent.from_event(event).input})
        ctx.send_event(Event(type="kept", attributes={"ref": ref}))

    @action("kept")
    @staticmethod
    def end(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=ctx.short_term_memory.get(event.get_attr("ref"))))


def test_a_reference_that_came_in_an_event_is_resolved() -> None:
    env = environment()
    outputs = env.from_list([{"key": "k", "value": 7}]).apply(Referring()).to_list()
    env.execute()
    assert outputs == [{"k": {"n": 7}}]


def test_an_environment_of_flink_needs_what_flink_needs(monkeypatch) -> None:
    make = AgentsExecutionEnvironment.get_execution_environment
    monkeypatch.setitem(sys.modules, "pyflink", None)
    monkeypatch.setenv("JAVA_HOME", "")  # and put back what is found
    with pytest.raises(
        ConfigurationError, match=r"perdure\[flink\]|Python 3\.11 or 3\.12"
    ) as error:
        make(env=object())
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="StreamExecutionEnvironment is required"):
        make(t_env=object())


def test_an_agent_of_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no agent 'ghost'"):
        environment().from_list([]).apply("ghost")


def test_the_configuration_is_read_from_flinks_folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "config.yaml").write_text("agent:\n  tenant: acme\n  chat:\n    async: false\n")
    monkeypatch.setenv("FLINK_CONF_DIR", str(tmp_path))
    config = environment().get_config()

    assert config.get_str("tenant") == "acme"
    assert config.get_bool("chat.async") is False
    assert config.get_int("absent", 3) == 3
