"""Resources: one instance a process, opened before the first run and closed in reverse order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
from tests.promises.support import (
    ONE,
    SECONDS,
    agent_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    run,
)

from perdure import Agent, AgentDefinitionError, ConfigurationError, InputEvent, LocalEngine, action
from perdure.llm.prompt import Prompt
from perdure.llm.tool import Tool
from perdure.resource import Resource, ResourceDescriptor, ResourceType, chat_model_connection

CONNECTION, MODEL = ResourceType.CHAT_MODEL_CONNECTION, ResourceType.CHAT_MODEL


class Log:
    """What resources of a test did, in order."""

    entries: ClassVar[list[str]] = []


@pytest.fixture(autouse=True)
def empty_log() -> None:
    Log.entries.clear()


class Logging(Resource):
    """A connection that says what is done with it."""

    RESOURCE_TYPE: ClassVar = CONNECTION

    def __init__(
        self,
        label: str = "",
        *,
        parts: Iterable[Resource] = (),
        fails: BaseException | None = None,
        fails_to_close: BaseException | None = None,
        provides: Iterable[Resource] = (),
    ) -> None:
        self.label = label
        self._parts = tuple(parts)
        self._fails = fails
        self._fails_to_close = fails_to_close
        self._provides = tuple(provides)
        self.is_open = False
        Log.entries.append(f"make {label}")

    def parts(self) -> Iterable[Resource]:
        return self._parts

    def provided(self) -> Iterable[Resource]:
        return self._provides if self.is_open else ()

    def open(self) -> None:
        Log.entries.append(f"open {self.label or self.name}")
        if self._fails is not None:
            raise self._fails
        self.is_open = True

    async def close(self) -> None:
        await asyncio.sleep(0)
        Log.entries.append(f"close {self.label or self.name}")
        self.is_open = False
        if self._fails_to_close is not None:
            raise self._fails_to_close


class Model(Logging):
    """A chat model that says what is done with it, asynchronously."""

    RESOURCE_TYPE: ClassVar = MODEL

    async def open(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0.001)
        super().open()


def notes(event: Any, ctx: Any) -> None:
    Log.entries.append(f"run {ctx.key}")
    out(ctx, ctx.key)


def opens_and_closes() -> list[str]:
    return [each for each in Log.entries if not each.startswith(("make", "run"))]


def agent_with(*resources: tuple[str, Resource]) -> Agent:
    agent = agent_of(notes)
    for name, resource in resources:
        agent.add_resource(name, resource.resource_type(), resource)
    return agent


# Opening and closing


def test_all_are_open_before_the_first_run_and_closed_after_the_last(store: str) -> None:
    agent = agent_with(("m", Model("m")), ("c", Logging("c")), ("d", Logging("d")))
    run(agent, [{"k": "a"}, {"k": "b"}], store=store)
    made = [each for each in Log.entries if not each.startswith("make")]
    # Connections before models, whatever the order of their declaration.
    assert made[:3] == ["open c", "open d", "open m"]
    assert sorted(made[3:5]) == ["run a", "run b"]
    assert made[5:] == ["close m", "close d", "close c"]


def test_an_engine_opens_again_what_it_closed(store: str) -> None:
    resource = Logging("c")
    engine = LocalEngine(store).add_resource("c", CONNECTION, resource)
    for n in range(2):
        engine.run(agent_of(notes), [{"k": f"{n}"}], key="k", id="k")
    assert Log.entries == ["make c", "open c", "run 0", "close c", "open c", "run 1", "close c"]


def test_a_descriptor_makes_a_new_instance_each_time(store: str) -> None:
    engine = LocalEngine(store).add_resource(
        "c", CONNECTION, ResourceDescriptor(Logging, label="c")
    )
    assert Log.entries == []
    for n in range(2):
        engine.run(agent_of(notes), [{"k": f"{n}"}], key="k", id="k")
    assert Log.entries == [
        "make c", "open c", "run 0", "close c", "make c", "open c", "run 1", "close c",
    ]  # fmt: skip


def test_a_failing_open_names_its_resource_and_closes_the_others(store: str) -> None:
    agent = agent_with(
        ("c", Logging("c")), ("d", Logging("d")), ("m", Model("m", fails=OSError("refused"))),
        ("n", Model("n")),
    )  # fmt: skip
    with pytest.raises(ConfigurationError) as failure:
        run(agent, ONE, store=store)
    assert str(failure.value) == "the chat_model 'm' cannot be opened: OSError: refused"
    assert isinstance(failure.value.__cause__, OSError)
    assert opens_and_closes() == ["open c", "open d", "open m", "close d", "close c"]
    assert "run a" not in Log.entries


def test_the_job_can_be_opened_after_a_failed_open(store: str) -> None:
    resource = Logging("c", fails=OSError("refused"))
    engine = LocalEngine(store).add_resource("c", CONNECTION, resource)
    with pytest.raises(ConfigurationError, match="'c' cannot be opened"):
        engine.run(agent_of(notes), ONE, key="k")
    resource._fails = None
    assert [output.value for output in engine.run(agent_of(notes), ONE, key="k")] == ["a"]


def test_an_interrupted_open_closes_the_others(store: str) -> None:
    agent = agent_with(("c", Logging("c")), ("d", Logging("d", fails=KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        run(agent, ONE, store=store)
    assert opens_and_closes() == ["open c", "open d", "close c"]


def test_a_resource_that_cannot_be_made_is_named(store: str) -> None:
    for descriptor, said in (
        (
            ResourceDescriptor(Logging, unknown=1),
            "engine, chat_model_connection 'c': .*refuses",
        ),
        (ResourceDescriptor("no.such.Thing"), "chat_model_connection 'c': 'no.such.Thing' cannot"),
        (ResourceDescriptor(Prompt, template="x"), "'c' is declared as chat_model_connection and"),
    ):
        engine = LocalEngine(store).add_resource("b", CONNECTION, Logging("b"))
        engine.add_resource("c", CONNECTION, descriptor)
        with pytest.raises((ConfigurationError, AgentDefinitionError), match=said):
            engine.run(agent_of(notes), ONE, key="k")
    assert opens_and_closes() == []


def test_a_failing_close_is_logged_and_the_others_are_closed(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = agent_with(
        ("c", Logging("c")), ("d", Logging("d", fails_to_close=OSError("gone"))),
        ("m", Model("m", fails_to_close=asyncio.CancelledError())),
    )  # fmt: skip
    with pytest.raises(asyncio.CancelledError):
        run(agent, ONE, store=store)
    assert opens_and_closes()[-3:] == ["close m", "close d", "close c"]
    assert "the chat_model_connection 'd' could not be closed" in caplog.text


def test_a_job_that_is_stopped_closes_them(store: str) -> None:
    class Boom(Exception):
        pass

    agent = agent_with(("c", Logging("c")))

    async def main() -> None:
        async with LocalEngine(store).open(agent):
            raise Boom

    with pytest.raises(Boom):
        asyncio.run(main())
    assert opens_and_closes() == ["open c", "close c"]


# Parts


def test_parts_are_opened_once_though_two_share_them(store: str) -> None:
    shared = Logging("shared")
    agent = agent_with(("m", Model("m", parts=[shared])), ("n", Model("n", parts=[shared])))
    run(agent, ONE, store=store)
    assert opens_and_closes() == [
        "open shared", "open m", "open n", "close n", "close m", "close shared",
    ]  # fmt: skip


def test_a_part_that_is_declared_too_is_one_instance() -> None:
    shared = Logging("shared")
    agent = agent_with(("m", Model("m", parts=[shared])), ("c", shared))
    run(agent, ONE)
    assert opens_and_closes() == ["open shared", "open m", "close m", "close shared"]
    assert shared.name == "c"


def test_parts_have_parts_and_the_name_of_what_holds_them() -> None:
    inner = Logging(parts=[])
    outer = Logging(parts=[inner])
    run(agent_with(("m", Model("", parts=[outer]))), ONE)
    assert opens_and_closes() == ["open m"] * 3 + ["close m"] * 3
    assert (inner.name, outer.name) == ("m", "m")


def test_a_failing_part_is_named_with_what_holds_it() -> None:
    agent = agent_with(("m", Model("m", parts=[Logging(fails=OSError("refused"))])))
    with pytest.raises(ConfigurationError, match="the chat_model_connection 'm' cannot be opened"):
        run(agent, ONE)


# What a server offers


async def offered(x: str) -> str:
    return x


def test_what_a_resource_offers_is_found_while_it_is_open() -> None:
    server = Logging("s", provides=[Tool(offered, name="offered")])
    found: list[Any] = []

    def looks(event: Any, ctx: Any) -> None:
        found.append(ctx.get_resource("offered", ResourceType.TOOL))
        out(ctx, 1)

    agent = agent_of(looks).add_resource("s", CONNECTION, server)
    for _ in range(2):
        run(agent, ONE)
    assert [tool.name for tool in found] == ["offered", "offered"]


def test_what_two_offer_under_one_name_is_refused() -> None:
    agent = agent_with(
        ("s", Logging("s", provides=[Tool(offered, name="x")])),
        ("t", Logging("t", provides=[Tool(offered, name="x")])),
    )
    with pytest.raises(AgentDefinitionError, match="'t' offers the tool 'x', which is declared"):
        run(agent, ONE)
    assert opens_and_closes()[-2:] == ["close t", "close s"]


# Using them


class Shares(Agent):
    """Notes which instance each run sees, on whichever thread."""

    @chat_model_connection
    def c(self) -> Resource:
        return Logging("c")

    @action(InputEvent)
    async def go(self, event: Any, ctx: Any) -> None:
        first = ctx.get_resource("c", CONNECTION)
        await ctx.durable_execute_async(asyncio.sleep, 0.001)
        assert ctx.get_resource("c", CONNECTION) is first
        out(ctx, [id(first), first.name, first.is_open])


def test_keys_share_one_instance(store: str) -> None:
    outputs = run(Shares, [{"k": f"{n}"} for n in range(20)], store=store)
    assert len(outputs) == 20
    assert all(each == outputs[0] for each in outputs)
    assert outputs[0][1:] == ["c", True]
    assert Log.entries.count("make c") == 1


def test_the_agents_own_wins_and_the_engines_is_not_opened() -> None:
    engine = LocalEngine("memory://").add_resource("c", CONNECTION, Logging("engine"))
    engine.add_resource("d", CONNECTION, Logging("other"))
    engine.run(agent_with(("c", Logging("agent"))), ONE, key="k")
    assert set(opens_and_closes()) == {"open agent", "open other", "close agent", "close other"}


@pytest.mark.parametrize(
    ("name", "type_", "said"),
    [
        ("cc", CONNECTION, "there is no chat_model_connection 'cc': did you mean 'c'?"),
        ("zzz", CONNECTION, "there is no chat_model_connection 'zzz': declared are: c"),
        ("c", MODEL, "there is no chat_model 'c': none is declared"),
        ("c", "chat_model", "'chat_model' is no ResourceType"),
        (None, CONNECTION, "there is no chat_model_connection None"),
        ([], CONNECTION, r"there is no chat_model_connection []"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(name: Any, type_: Any, said: str) -> None:
    def asks(event: Any, ctx: Any) -> None:
        ctx.get_resource(name, type_)

    agent = agent_of(asks).add_resource("c", CONNECTION, Logging("c"))
    text = error_text(failures(agent, ONE))
    assert text.startswith("perdure.errors.ConfigurationError")
    assert said in text


def test_a_resource_is_no_argument_and_no_result_of_a_durable_call(store: str) -> None:
    def give(value: Any = None) -> Any:
        return Logging("given")

    async def passes(event: Any, ctx: Any) -> None:
        resource = ctx.get_resource("c", CONNECTION)
        arguments = [resource] if event.input["k"] == "argument" else []
        await ctx.durable_execute_async(give, *arguments)

    for key in ("argument", "result"):
        agent = agent_of(passes).add_resource("c", CONNECTION, Logging("c"))
        text = error_text(failures(agent, [{"k": key}], store=store, id="k"))
        assert text.startswith("perdure.errors.EncodeError"), text


def test_a_resource_is_nothing_to_remember_or_to_send() -> None:
    def keeps(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("c", ctx.get_resource("c", CONNECTION))

    def sends(event: Any, ctx: Any) -> None:
        out(ctx, ctx.get_resource("c", CONNECTION))

    for func in (keeps, sends):
        agent = agent_of(func).add_resource("c", CONNECTION, Logging("c"))
        assert error_text(failures(agent, ONE)).startswith("perdure.errors.EncodeError")


def test_the_context_finds_none_inside_a_durable_call() -> None:
    async def asks(event: Any, ctx: Any) -> None:
        def inside() -> Any:
            return ctx.get_resource("c", CONNECTION).name

        await ctx.durable_execute_async(inside)

    agent = agent_of(asks).add_resource("c", CONNECTION, Logging("c"))
    assert error_text(failures(agent, ONE)).startswith("perdure.errors.ContextAccessError")


def test_they_are_there_after_a_crash(store: str) -> None:
    async def waits(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(hold)
        out(ctx, ctx.get_resource("c", CONNECTION).label)

    agent = agent_of(waits).add_resource("c", CONNECTION, Logging("c"))
    assert crash_and_resume(agent, ONE, store=store) == ["c"]
    assert opens_and_closes() == ["open c", "close c"] * 2


def test_a_plain_action_uses_them_too() -> None:
    seen = threading.Event()

    def plain(event: Any, ctx: Any) -> None:
        resource = ctx.get_resource("c", CONNECTION)
        out(ctx, ctx.durable_execute_async(lambda: resource.is_open).result())
        seen.set()

    for config in ({}, {"continuations": "off"}):
        agent = agent_of(plain).add_resource("c", CONNECTION, Logging("c"))
        assert run(agent, ONE, config=config) == [True]
        assert seen.wait(SECONDS)
