"""Sub-agents as Flink Agents released them: submitted once, awaited for what came of it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import CancelledError
from typing import Any

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection
from flink_agents.api.chat_models.subagent_tool import SubagentTool
from flink_agents.api.decorators import action
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.subagent import SubagentFuture, SubagentResult, SubagentSetup
from flink_agents.runtime.async_subagent import BaseAsyncSubagentSetup, RunStatus
from flink_agents.runtime.base_subagent import BaseSubagentSetup
from flink_agents.runtime.deferred_subagent import DeferredSubagentSetup, PreparedTriple
from flink_agents.runtime.subagent_handles import CompletedSubagentFuture
from pydantic import BaseModel, ValidationError
from tests.flink_agents.models import HERE

ME = "tests.flink_agents.test_subagents"
LOG: list[str] = []  # what the sub-agents were asked, in order
RUNS: dict[str, dict[str, Any]] = {}  # what the service knows


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    LOG.clear()
    RUNS.clear()


class Question(BaseModel):
    text: str
    words: int = 3


class Service(BaseAsyncSubagentSetup):
    """A service that is done at the second question; it fails where the prompt says so."""

    @classmethod
    def input_type(cls) -> type:
        return Question

    def call_submit_request(self, session_id: str, call_id: str, prompt: Any) -> None:
        LOG.append(f"submit {prompt}")
        if "refuse" in str(prompt):
            raise ConnectionError("refused")
        RUNS[f"{session_id}#{call_id}"] = {"prompt": prompt, "left": 1}

    def call_query_status(self, session_id: str, call_id: str) -> RunStatus:
        run = RUNS.get(f"{session_id}#{call_id}")
        if run is None:
            return RunStatus.not_started()
        LOG.append(f"status {run['prompt']}")
        if "blind" in str(run["prompt"]):
            raise TimeoutError("no answer")
        if run["left"]:
            run["left"] -= 1
            return RunStatus.running()
        if "fail" in str(run["prompt"]):
            return RunStatus.failed("failed on demand")
        return RunStatus.completed()

    def call_fetch_result(self, session_id: str, call_id: str) -> SubagentResult:
        run = RUNS[f"{session_id}#{call_id}"]
        LOG.append(f"fetch {run['prompt']}")
        return SubagentResult.ok(f"{self.subagent_name}: {run['prompt']}")

    def call_cancel_request(self, session_id: str, call_id: str) -> None:
        LOG.append("cancel")


class Remote(Service):
    status_poll_interval_millis: int = 1


class Local(DeferredSubagentSetup):
    """Is asked by one call."""

    input_schema: str | None = '{"type": "object", "properties": {"text": {"type": "string"}}}'

    def prepare(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> PreparedTriple:
        LOG.append(f"prepare {prompt}")
        if prompt == "unprepared":
            raise LookupError("nobody there")

        def call() -> SubagentResult:
            LOG.append(f"call {prompt}")
            if prompt == "raise":
                raise OSError("broken")
            if prompt == "fail":
                return SubagentResult.error("failed on demand")
            return SubagentResult.ok({"said": prompt})

        return f"{session_id}#{call_id}", call, None


class Asking(Agent):
    """Runs a coroutine function over both sub-agents and puts out what it returns."""

    def __init__(self, asks: Any) -> None:
        super().__init__()
        self.add_resource("remote", ResourceType.AGENT, Remote())
        self.add_resource("local", ResourceType.AGENT, ResourceDescriptor(clazz=f"{ME}.Local"))
        self._asks = asks

    @action(InputEvent.EVENT_TYPE)
    async def begin(self, event: Event, ctx: RunnerContext) -> None:
        given = InputEvent.from_event(event).input
        remote = ctx.get_resource("remote", ResourceType.AGENT)
        local = ctx.get_resource("local", ResourceType.AGENT)
        ctx.send_event(OutputEvent(output=await self._asks(ctx, remote, local, given)))


def run(agent: Any, value: Any = "hello", store: str = "memory://", **options: Any) -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="subagents")
    env.get_config().conf_data.update(options)
    outputs = env.from_list([{"key": "k", "value": value}]).apply(agent).to_list()
    env.execute()
    return [each["k"] for each in outputs]


def shown(result: SubagentResult) -> Any:
    assert (result.exception is None) is result.success
    return result.result if result.success else result.error_message


async def ask_both(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
    handle = await remote.submit(ctx, given)
    assert not handle.done()
    asked = len([each for each in LOG if each.startswith("submit")])
    own = await local.submit(ctx, given)
    return [asked, shown(await handle), shown(await own), handle.done() and own.done()]


def test_g1_a_handle_is_awaited_for_the_result_and_all_of_it_is_recorded(store: str) -> None:
    expected = [[1, "remote: hello", {"said": "hello"}, True]]
    assert run(Asking(ask_both), store=store) == expected
    asked = [
        "submit hello", "status hello", "status hello", "fetch hello", "prepare hello", "call hello"
    ]  # fmt: skip
    assert asked == LOG
    if store.startswith("sqlite"):
        assert run(Asking(ask_both), store=store) == expected
        assert asked == LOG


@pytest.mark.parametrize(
    ("prompt", "remote", "local"),
    [
        ("fail", "failed on demand", "failed on demand"),
        ("blind", "TimeoutError: no answer", {"said": "blind"}),
        ("raise", "remote: raise", "OSError: broken"),
        ("unprepared", "remote: unprepared", "LookupError: nobody there"),
    ],
)
def test_a_subagents_failure_is_in_the_result(prompt: str, remote: Any, local: Any) -> None:
    async def ask(ctx: RunnerContext, far: Any, near: Any, given: Any) -> Any:
        return [shown(await (await each.submit(ctx, given))) for each in (far, near)]

    assert run(Asking(ask), prompt) == [[remote, local]]


def test_what_is_not_submitted_fails_the_action() -> None:
    with pytest.raises(ConnectionError, match="refused"):
        run(Asking(ask_both), "refuse")


def test_g3_ids_are_derived_and_told_apart(store: str) -> None:
    async def ids(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        first = await remote.submit(ctx, given)
        second = await remote.submit(ctx, given)
        on = await remote.submit(ctx, given, first.session_id)
        other = await local.submit(ctx, given)
        named = await local.submit(ctx, given, "session")
        own = await local.submit(ctx, given, "session", "call")
        handles = [first, second, on, other, named, own]
        await first.combine(*handles[1:])
        return [[each.session_id, each.call_id, each.identity] for each in handles]

    found = run(Asking(ids), store=store)[0]
    (one, two, _, other), prefix = [each[0] for each in found[:4]], found[0][0][:-2]

    assert [one, two] == [f"{prefix}-0", f"{prefix}-1"]
    assert other not in (one, two)
    assert [each[1] for each in found] == [
        f"{one}-1", f"{two}-1", f"{one}-2", f"{other}-1", "session-1", "call"
    ]  # fmt: skip
    assert all(each[2] == f"{each[0]}#{each[1]}" for each in found)
    LOG.clear()
    again = run(Asking(ids), store=store)[0]
    assert again == found  # of another job of that name too: a replay makes the same ones
    assert (LOG == []) is store.startswith("sqlite")


def test_combined_they_are_awaited_at_the_same_time_in_their_order() -> None:
    async def together(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        first = await local.submit(ctx, "a")
        second = await remote.submit(ctx, "fail")
        done = CompletedSubagentFuture("s", "c", SubagentResult.ok("known"))
        group = done.combine(first).combine(second, await local.submit(ctx, "raise"))
        assert not group.done()
        found = [shown(each) for each in await group]
        assert group.done()
        assert [shown(each) for each in await asyncio.gather(first, first)] == [{"said": "a"}] * 2
        return found

    assert run(Asking(together)) == [
        ["known", {"said": "a"}, "failed on demand", "OSError: broken"]
    ]
    assert LOG.count("call a") == 1


def test_awaited_twice_at_once_it_is_called_once() -> None:
    async def twice(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        handle = await local.submit(ctx, given)
        one, two = await asyncio.gather(handle, handle)
        assert one is two
        return shown(await handle)

    assert run(Asking(twice)) == [{"said": "hello"}]
    assert LOG == ["prepare hello", "call hello"]


def test_cancelled_it_raises_and_the_subagent_is_told_once(store: str) -> None:
    async def cancel(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        handles = await remote.submit(ctx, given), await local.submit(ctx, given)
        handles[0].combine(handles[1]).cancel()
        handles[0].cancel()
        for each in handles:
            assert each.done()
            with pytest.raises(CancelledError, match=each.identity):
                await each
        with pytest.raises(CancelledError):
            await handles[1].combine(handles[0])
        ended = await local.submit(ctx, given)
        await ended
        ended.cancel()
        return shown(await ended)

    for _ in range(2):
        assert run(Asking(cancel), store=store) == [{"said": "hello"}]
    once = ["submit hello", "cancel", "prepare hello", "call hello"]
    assert once * (1 if store.startswith("sqlite") else 2) == LOG


def test_an_action_that_awaits_not_every_call_fails() -> None:
    async def forget(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        return (await remote.submit(ctx, given, "s", "c")).call_id

    with pytest.raises(RuntimeError, match=r"begin finished without resolving .*s#c"):
        run(Asking(forget))


def driven(awaitable: Any) -> Any:
    """Return what an awaitable gives without an event loop."""
    steps = awaitable.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class OwnContext:
    """A context of a user's own test: calls are made at once."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def durable_execute_async(self, func: Any, *args: Any, **options: Any) -> Any:
        self.ids.append(options["durable_id"])

        async def call() -> Any:
            return func(*args)

        return call()


def test_it_works_with_a_context_of_a_users_own_and_ids() -> None:
    ctx, remote, local = OwnContext(), Remote(), Local()

    handle: Any = driven(remote.submit(ctx, "far", "s", "1"))
    assert not handle.done()
    other: Any = driven(local.submit(ctx, "near", "s", "2"))
    assert [shown(each) for each in driven(handle.combine(other))] == [
        "None: far", {"said": "near"}
    ]  # fmt: skip
    handle.cancel()
    assert ctx.ids == ["s#1", "s#1#await", "s#2"]
    given_up: Any = driven(remote.submit(ctx, "far", "s", "3"))
    given_up.cancel()
    assert LOG.count("cancel") == 1
    for missing in ({}, {"session_id": "s"}):
        with pytest.raises(RuntimeError, match="No prepared action task"):
            driven(remote.submit(ctx, "far", **missing))


@pytest.mark.parametrize(("known", "submitted"), [(False, 1), (True, 0)])
def test_the_reconciler_submits_what_the_service_does_not_know(known: bool, submitted: int) -> None:
    remote = Remote()
    if known:
        RUNS["s#c"] = {"prompt": "p", "left": 1}

    remote.reconcile_submit_request("s", "c", "p")

    assert LOG.count("submit p") == submitted


class Loose(Remote):
    """Says what it should not."""

    def call_query_status(self, session_id: str, call_id: str) -> Any:
        found = super().call_query_status(session_id, call_id)
        return "soon" if RUNS[f"{session_id}#{call_id}"]["prompt"] == "wrong" else found

    def call_fetch_result(self, session_id: str, call_id: str) -> Any:
        return [1]


@pytest.mark.parametrize(
    ("prompt", "result"),
    [
        ("right", [1]),
        ("wrong", "ValueError: Loose.call_query_status returned 'soon': return a Run"),
    ],
)
def test_what_a_subagent_says_is_checked(prompt: str, result: Any) -> None:
    async def ask(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        loose = ctx.get_resource("loose", ResourceType.AGENT)
        return shown(await (await loose.submit(ctx, given)))

    agent = Asking(ask).add_resource("loose", ResourceType.AGENT, Loose())

    assert run(agent, prompt)[0][: len(result)] == result


class Unsure(Remote):
    """Gets what is submitted, and fails to say so."""

    def call_submit_request(self, session_id: str, call_id: str, prompt: Any) -> None:
        super().call_submit_request(session_id, call_id, prompt)
        raise TimeoutError("no answer")


def test_an_attempt_that_follows_a_failed_one_asks_before_it_submits() -> None:
    async def ask(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        unsure = ctx.get_resource("unsure", ResourceType.AGENT)
        return shown(await (await unsure.submit(ctx, given)))

    agent = Asking(ask).add_resource("unsure", ResourceType.AGENT, Unsure())
    options = {"retry.max-attempts": 2, "retry.initial-interval": 0}

    assert run(agent, **options) == ["unsure: hello"]
    assert LOG.count("submit hello") == 1


# Declared


class Stub(SubagentSetup):
    async def submit(
        self,
        ctx: RunnerContext,
        prompt: Any,
        session_id: str | None = None,
        call_id: str | None = None,
    ) -> SubagentFuture:
        if prompt == {"text": "raise"}:
            raise OSError("no line")
        result: Any = Question(text=prompt["text"]) if prompt["text"] == "model" else prompt
        if prompt["text"] == "object":
            result = {"deep": [object()]}
        return CompletedSubagentFuture("s", "c", SubagentResult.ok(result))


class Typed(Stub):
    @classmethod
    def input_type(cls) -> type:
        return Question

    @classmethod
    def result_type(cls) -> type:
        return Question


def test_the_schema_is_the_given_one_or_that_of_the_type() -> None:
    assert Stub().input_schema is None
    assert '"words"' in (Typed().input_schema or "")
    assert Typed(input_schema="{}").input_schema == "{}"
    assert Service().status_poll_interval_millis == 500
    for name in ("statusPollIntervalMillis", "status_poll_interval_millis"):
        assert Service(**{name: 7}).status_poll_interval_millis == 7
    assert "input_type" not in Typed().model_dump_json()
    with pytest.raises(ValidationError, match="must not be blank"):
        Stub(input_schema=" ")

    class Wrong(Stub):
        @classmethod
        def input_type(cls) -> type:
            return dict

    with pytest.raises(TypeError, match="is not supported"):
        Wrong()


def test_a_result_tells_what_an_exception_was(caplog) -> None:
    with caplog.at_level(logging.WARNING, "perdure"):
        failed = SubagentResult.error(OSError("broken"))
    assert failed == SubagentResult(False, error_message="OSError: broken")
    assert "a sub-agent failed" in caplog.text
    assert str(failed.exception) == "OSError: broken"
    assert SubagentResult.ok(1).exception is None


class Delegating(BaseChatModelConnection):
    """Asks the sub-agents that the user names, then tells what they said."""

    def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> ChatMessage:
        if messages[-1].role == MessageRole.TOOL:
            said = [each.content for each in messages if each.role == MessageRole.TOOL]
            return ChatMessage(role=MessageRole.ASSISTANT, content=" | ".join(said))
        LOG.append(" ".join(each.name for each in tools))
        calls = [
            {"id": str(n), "function": {"name": name, "arguments": {"text": text}}}
            for n, (name, text) in enumerate(
                each.split("=") for each in messages[-1].content.split()
            )
        ]
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=calls)


def looked_up(text: str) -> str:
    """Look up."""
    return f"found {text}"


class Chatting(Agent):
    def __init__(self, tools: Any = ("look",), subagents: Any = ("local", "stub", "typed")) -> None:
        super().__init__()
        chats = ResourceDescriptor(clazz=f"{ME}.Delegating")
        self.add_resource("connection", ResourceType.CHAT_MODEL_CONNECTION, chats)
        self.add_resource("look", ResourceType.TOOL, looked_up)
        self.add_resource("local", ResourceType.AGENT, Local(description="Says it."))
        self.add_resource("look", ResourceType.AGENT, Local())
        self.add_resource("remote", ResourceType.AGENT, Remote())
        self.add_resource("stub", ResourceType.AGENT, Stub(input_schema='{"type": "object"}'))
        self.add_resource("typed", ResourceType.AGENT, ResourceDescriptor(clazz=f"{ME}.Typed"))
        self.add_resource("opaque", ResourceType.AGENT, Stub())
        setup = ResourceDescriptor(
            clazz=f"{HERE}.EchoSetup",
            connection="connection",
            tools=list(tools),
            subagents=list(subagents),
        )
        self.add_resource("model", ResourceType.CHAT_MODEL, setup)

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        text = InputEvent.from_event(event).input
        ctx.send_event(ChatRequestEvent("model", [ChatMessage(content=text)]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.response.content))


@pytest.mark.parametrize("options", [{}, {"tool-call.parallelism": 1}, {"tool-call.async": False}])
def test_a_chat_model_asks_subagents_as_tools(store: str, options: dict) -> None:
    asked = "look=x _subagent_look=a _subagent_local=b _subagent_typed=model _subagent_stub=c"
    agent = Chatting(subagents=("local", "look", "typed", "stub"))

    expected = (
        'found x | {"said":{"text":"a"}} | {"said":{"text":"b"}}'
        ' | {"text":"model","words":3} | {"text":"c"}'
    )
    assert run(agent, asked, store, **options) == [expected]
    assert LOG[0] == "looked_up _subagent_local _subagent_look _subagent_typed _subagent_stub"


def test_a_chat_model_is_told_why_a_subagent_failed() -> None:
    asked = "_subagent_stub=raise _subagent_stub=object _subagent_none=x _subagent_remote=fail"
    said = run(Chatting(), asked)[0].split(" | ")

    assert said[0] == "Sub-agent `_subagent_stub` execute failed: no line"
    assert "result.deep[0] of the sub-agent is a object" in said[1]
    assert said[2].startswith("Sub-agent `_subagent_none` execute failed: there is no agent 'none'")
    assert said[3] == "Sub-agent `_subagent_remote` execute failed: failed on demand"


def test_what_takes_longer_than_the_batch_is_given_up() -> None:
    agent = Chatting(subagents=("remote",))
    agent.resources[ResourceType.AGENT]["remote"] = Remote(status_poll_interval_millis=600_000)

    said = run(agent, "_subagent_remote=x", **{"tool-call.batch.timeout.ms": 50})

    assert said == ["Sub-agent `_subagent_remote` execute failed."]
    assert LOG[-1] == "cancel"


@pytest.mark.parametrize(
    ("tools", "subagents", "said"),
    [
        ((), ("local", "local"), "Duplicate callable name: _subagent_local"),
        (("look", "look"), (), "Duplicate callable name: look"),
        ((), ("opaque",), "Sub-agent opaque declares neither an input schema nor an input type"),
        ((), ("nobody",), "there is no agent 'nobody'"),
    ],
)
def test_what_a_chat_model_cannot_ask_is_refused_when_it_opens(
    tools: Any, subagents: Any, said: str
) -> None:
    with pytest.raises(Exception, match=said):
        run(Chatting(tools, subagents), "x")


def test_what_a_model_is_told_of_a_subagent() -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}'
    tool = SubagentTool.of("reviewer", "", schema)

    assert tool.metadata.name == "_subagent_reviewer"
    assert tool.metadata.description.startswith("Delegate a standalone task to sub-agent reviewer")
    assert tool.metadata.get_parameters_dict()["properties"]["a"] == {
        "type": "integer", "minimum": 1
    }  # fmt: skip
    assert SubagentTool.of("r", "Reviews.", schema).metadata.description.startswith("Reviews.")
    with pytest.raises(NotImplementedError, match="AGENT"):
        tool.call()


def test_subagents_are_declared_in_yaml(tmp_path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(
        f"""
agents:
  - name: asking
    subagents:
      - {{name: remote, clazz: {ME}.Service, statusPollIntervalMillis: 1}}
    actions:
      - {{name: ask, function: "{ME}:ask_remote", trigger_conditions: [input]}}
subagents:
  - {{name: shared, clazz: {ME}.Local, description: Says it.}}
"""
    )
    env = AgentsExecutionEnvironment.get_execution_environment()
    env.load_yaml(path)
    outputs = env.from_list([{"key": "k", "value": "hi"}]).apply("asking").to_list()
    env.execute()

    assert outputs == [{"k": ["remote: hi", {"said": "hi"}]}]


async def ask_remote(event: Event, ctx: RunnerContext) -> None:
    given = InputEvent.from_event(event).input
    setups = [ctx.get_resource(each, ResourceType.AGENT) for each in ("remote", "shared")]
    found = [shown(await (await each.submit(ctx, given))) for each in setups]
    ctx.send_event(OutputEvent(output=found))


def test_what_cannot_be_registered_is_refused_with_what_to_do() -> None:
    for holder in (Agent(), AgentsExecutionEnvironment.get_execution_environment()):
        with pytest.raises(NotImplementedError, match="fallbacks="):
            holder.add_resource("router", ResourceType.MODEL_ROUTER, Prompt.from_text("x"))
        with pytest.raises(ValueError, match="_subagent_x"):
            holder.add_resource("_subagent_x", ResourceType.TOOL, looked_up)
    agent = Agent().add_resource("other", ResourceType.AGENT, Agent())
    with pytest.raises(TypeError, match="pass a SubagentSetup"):
        run(agent)


class Opening(BaseSubagentSetup):
    """Needs another resource, of a sort that is opened later, to open."""

    def open(self) -> None:
        assert self.resource_context is not None
        other = self.resource_context.get_resource("later", ResourceType.AGENT)
        LOG.append(f"{self.subagent_name} needs {other.subagent_name}")

    async def submit_with_identity(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> SubagentFuture:
        return CompletedSubagentFuture(session_id, call_id, SubagentResult.ok(prompt))


def test_a_resource_that_another_needs_to_open_is_opened_first() -> None:
    async def nothing(ctx: RunnerContext, remote: Any, local: Any, given: Any) -> Any:
        return given

    agent = Asking(nothing).add_resource("early", ResourceType.AGENT, Opening())
    agent.add_resource("later", ResourceType.AGENT, Remote())

    assert run(agent) == ["hello"]
    assert LOG == ["early needs later"]
