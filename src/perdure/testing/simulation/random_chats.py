"""Random agents with models: programs that are played, and a digest of all that they see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from perdure.actions.chat import chat
from perdure.actions.react import ReActAgent
from perdure.actions.retrieval import retrieve
from perdure.agent.declaration import Agent
from perdure.agent.plan import AgentPlan
from perdure.config.configuration import Configuration
from perdure.context import RunnerContext
from perdure.documents.document import Document
from perdure.engine.plan_of import plan_of
from perdure.errors import (
    ChatLimitError,
    OutputSchemaError,
    RetryableError,
    TerminalError,
)
from perdure.event import Event, InputEvent, OutputEvent
from perdure.journal.record import RecordKind
from perdure.llm.embedding_model import BaseEmbeddingModelSetup
from perdure.llm.events import (
    ChatRequestEvent,
    ChatResponseEvent,
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
)
from perdure.llm.vector_store import VectorStore
from perdure.memory.long_term import MemorySetItem
from perdure.resource import ResourceType
from perdure.run import STATUS_BY_NUMBER, RunStatus, run_id
from perdure.testing.scripted_embedding import ScriptedEmbeddingModel
from perdure.testing.simulation.calls import UNIT
from perdure.testing.simulation.chat_parts import SCHEMA, digest, models_of, verdict
from perdure.testing.simulation.chat_programs import ChatProgram
from perdure.testing.simulation.compare import Difference
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.lives import Script
from perdure.testing.simulation.programs import SECONDS, Step
from perdure.testing.simulation.random_agents import EXPECTED, UnluckyError
from perdure.testing.simulation.simulate import arrivals_of
from perdure.testing.simulation.store import Tables

OF_CHATS = (ChatLimitError, OutputSchemaError, RetryableError, TerminalError)
EXPECTED_OF_CHATS = (
    EXPECTED,
    *(f"{each.__module__}.{each.__qualname__}" for each in OF_CHATS),
)
FAILURES = (*OF_CHATS, UnluckyError, TimeoutError, asyncio.CancelledError)
CHAT_STATES = "_chat."  # where the built-in actions keep chats that wait for tools


class ChatPlayer:
    """Plays the steps of one action that chats by itself.

    Owns: the digest of what it has seen, the ids that it has given to items.
    """

    def __init__(self, program: ChatProgram, event: Event, ctx: RunnerContext) -> None:
        self.program = program
        self.ctx = ctx
        self.seen = digest(event.get_attr("input"), event.id)
        self._asked = 0
        self._facts = ctx.long_term_memory.get_memory_set("facts")
        self._ids: list[str] = []

    async def play(self) -> None:
        """Take all steps."""
        for step in self.program.steps[1:]:
            await getattr(self, f"do_{step.op}")(**step.args)
        self.ctx.send_event(OutputEvent(output=["inside", self.seen]))

    def see(self, *values: object) -> None:
        """Add to what was seen."""
        self.seen = digest(self.seen, values)

    def see_items(self, items: list[MemorySetItem]) -> None:
        """See items of long-term memory, with their times."""
        self.see([(i.id, i.value, str(i.created_at), str(i.updated_at), i.score) for i in items])

    def ask(self, model: str, schema: bool = False) -> Awaitable[ChatResponseEvent]:
        """Begin a chat that no other is like."""
        self._asked += 1
        text = f"{self._asked} {self.seen}"
        return chat(self.ctx, model, text, output_schema=SCHEMA if schema else None)

    async def settle(self, asked: Awaitable[Any]) -> None:
        """See what comes of a chat."""
        try:
            answer: ChatResponseEvent = await asked
        except FAILURES as error:
            self.see(type(error).__name__)
        else:
            self.see(answer.response.content, answer.response.output, answer.usage, answer.rounds)

    async def do_chat(self, model: str, schema: bool) -> None:
        await self.settle(self.ask(model, schema))

    async def do_agent(self) -> None:
        name = "agent"
        _, agent = models_of(self.program)
        if agent is None:
            return
        found: Any = self.ctx.get_resource(name, ResourceType.AGENT)
        try:
            self.see(await found.run(self.ctx, f"task {self.seen}"))
        except FAILURES as error:
            self.see(type(error).__name__)

    async def do_gather(self, models: tuple[str, ...]) -> None:
        answers = await asyncio.gather(*map(self.ask, models), return_exceptions=True)
        for answer in answers:
            await self.settle(_of(answer))

    async def do_group(self, models: tuple[str, ...]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_awaited(self.ask(model))) for model in models]
        except* FAILURES as failed:
            self.see([type(error).__name__ for error in failed.exceptions])
        else:
            for task in tasks:
                await self.settle(task)

    async def do_race(self, models: tuple[str, ...]) -> None:
        tasks = [asyncio.create_task(_awaited(self.ask(model))) for model in models]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            self.see(task in done)
            if task in pending:
                task.cancel()
            await self.settle(task)

    async def do_deadline(self, model: str, units: int) -> None:
        try:
            async with asyncio.timeout((units + 0.5) * SECONDS):
                await self.settle(self.ask(model))
        except TimeoutError:
            self.see("too late")

    async def do_retrieve(self, mode: str) -> None:
        collection = await fill(self.ctx)
        found = await retrieve(self.ctx, "docs", "red fox", mode=mode, collection_name=collection)
        self.see([(document.id, document.score) for document in found])

    async def do_add(self, n: int, named: bool) -> None:
        texts = [f"fact {n} {self.seen}" for n in range(n)]
        self._ids += await self._facts.add(texts, {"n": n}, ["one", "two", "three"][:n]
                                           if named else None)  # fmt: skip
        self.see(self._ids)

    async def do_search(self) -> None:
        self.see_items(await self._facts.search("fact 0", limit=2))

    async def do_update(self) -> None:
        self.see(await self._facts.update(self._ids[0] if self._ids else "one", f"new {self.seen}"))

    async def do_drop(self, all: bool) -> None:
        await self._facts.delete(None if all else self._ids[:1])

    async def do_size(self) -> None:
        self.see(await self._facts.size())
        self.see_items(await self._facts.get(limit=3))

    async def do_compact(self, keep: int) -> None:
        await self.do_add(3, False)
        try:
            self.see(await self._facts.compact(above=2, keep=keep, model="spare"))
        except FAILURES as error:
            self.see(type(error).__name__)

    async def do_memories(self) -> None:
        """Write to several sets at once."""
        sets = [self.ctx.long_term_memory.get_memory_set(name) for name in "xy"]
        self.see(await asyncio.gather(*(each.add(f"{each.name} {self.seen}") for each in sets)))
        self.see(await asyncio.gather(*(each.size() for each in sets)))

    async def do_remember(self) -> None:
        self.ctx.short_term_memory.update("count", lambda count: (count or 0) + 1)
        self.see(self.ctx.short_term_memory.get("mine"))
        self.ctx.short_term_memory.set("mine", self.seen)


async def _awaited(asked: Awaitable[Any]) -> Any:
    return await asked


async def _of(outcome: Any) -> Any:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def fill(ctx: RunnerContext) -> str:
    """Write documents to a collection of the run's key, and return its name."""
    store: Any = ctx.get_resource("docs", ResourceType.VECTOR_STORE)
    collection = f"docs of {ctx.key}"

    async def add(texts: list[str], collection: str) -> list[str]:
        found: list[str] = await store.add(
            [Document(content=text, id=text) for text in texts], collection
        )
        return found

    call = ctx.with_options(durable_id="fill").durable_execute_async
    await call(add, ["a red fox", "the blue fox", "red roses"], collection)
    return collection


# Agents


def make_chat_agent(program: ChatProgram) -> Agent:
    """Return the agent that plays `program`."""
    models, sub_agent = models_of(program)
    agent: Agent
    if program.shape == "react":
        agent = ReActAgent(chat_model=models[program.steps[0].args["model"]])
        agent.add_resource("agent", ResourceType.AGENT, sub_agent) if sub_agent else None
    else:
        agent = Agent()
        if sub_agent is not None:
            agent.add_resource("agent", ResourceType.AGENT, sub_agent)
        if program.steps[0].op == "inside":
            agent.add_action("inside", [InputEvent], _inside(program))
        else:
            _add_event_actions(agent, program)
    words = BaseEmbeddingModelSetup(ScriptedEmbeddingModel(8))
    agent.add_resource("words", ResourceType.EMBEDDING_MODEL, words)
    agent.add_resource("docs", ResourceType.VECTOR_STORE, VectorStore(embedding_model="words"))
    for name, model in models.items():
        agent.add_resource(name, ResourceType.CHAT_MODEL, model)
    return agent


def _inside(program: ChatProgram) -> Callable[[Any, Any], Any]:
    async def inside(event: Event, ctx: RunnerContext) -> None:
        await ChatPlayer(program, event, ctx).play()

    return inside


def _add_event_actions(agent: Agent, program: ChatProgram) -> None:
    one_by_one = program.shape == "loose"

    async def begin(event: InputEvent, ctx: RunnerContext) -> None:
        for n, step in enumerate(program.steps[:1] if one_by_one else program.steps):
            await _send(ctx, n, step, event.input)

    async def answered(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        response = event.response
        said = [response.content, response.output, event.model, event.rounds, event.usage]
        ctx.send_event(OutputEvent(output=["chat", event.request_id, said]))
        if one_by_one:
            count = ctx.sensory_memory.get("count") or 1
            ctx.sensory_memory.set("count", count + 1)
            if count < len(program.steps):
                await _send(ctx, count, program.steps[count], response.content)

    async def found(event: ContextRetrievalResponseEvent, ctx: RunnerContext) -> None:
        documents = [(each.id, each.score) for each in event.documents]
        ctx.send_event(OutputEvent(output=["retrieval", event.request_id, documents]))

    agent.add_action("begin", [InputEvent], begin)
    agent.add_action("answered", [ChatResponseEvent], answered)
    agent.add_action("found", [ContextRetrievalResponseEvent], found)


async def _send(ctx: RunnerContext, n: int, step: Step, given: str) -> None:
    if step.op == "retrieval":
        collection = await fill(ctx)
        ctx.send_event(
            ContextRetrievalRequestEvent(
                query="red fox", vector_store="docs", collection_name=collection, **step.args
            )
        )
        return
    schema = SCHEMA if step.args["schema"] else None
    ctx.send_event(ChatRequestEvent(step.args["model"], f"{n} {given}", output_schema=schema))


def chats_script_of(program: ChatProgram) -> Script:
    """Return what is simulated for `program`."""
    config = Configuration(program.config)
    plan: AgentPlan = plan_of(make_chat_agent(program), config)
    return Script(
        plan=lambda: plan,
        config=config,
        inputs=program.inputs,
        arrivals=arrivals_of(program.seed, len(program.inputs)),
        fakes=Fakes(),
        seed=program.seed,
        cancels=[(position, units * UNIT + 50_003) for position, units in program.cancels],
        approve=verdict,
    )


# What must be of every life


def chat_invariant(program: ChatProgram) -> Callable[[Tables], Iterator[Difference]]:
    """Return what yields what is wrong with what the agent of `program` left."""
    inside = program.steps[0].op == "inside"
    outputs = 1 if inside else len(program.steps)

    def invariant(tables: Tables) -> Iterator[Difference]:
        for run, row in tables.runs.items():
            for text in _asked_twice(tables, run) if not row.attempt else ():
                yield Difference(f"run {run_id(run)}: {text}", run)
            if STATUS_BY_NUMBER[row.status] is not RunStatus.COMPLETED:
                continue
            made = sum(output.run == run for output in tables.outputs.values())
            if made != outputs:
                yield Difference(f"run {run_id(run)} has {made} outputs, not {outputs}", run)
            for path in _left_states(tables, run):
                yield Difference(f"run {run_id(run)} ended with {path} in sensory memory", run)

    return invariant


def _asked_twice(tables: Tables, run: int) -> Iterator[str]:
    """Yield the requests and tool calls that a run made again though they had an outcome."""
    seen: dict[tuple[str, bytes | None], int] = {}
    for record in tables.records.get(run, ()):
        if record.kind != RecordKind.RESULT:
            continue
        if record.function.startswith(("chat:", "tool:")):
            asked = (record.function, record.digest)
            seen[asked] = seen.get(asked, 0) + 1
            if seen[asked] == 2:
                yield f"{record.function}({record.detail}) was asked for twice"


def _left_states(tables: Tables, run: int) -> list[str]:
    states: set[str] = set()
    for record in tables.records.get(run, ()):
        if record.kind == RecordKind.COMPLETED:
            for path, data in record.completion.sensory:
                if path.startswith(CHAT_STATES):
                    (states.discard if data is None else states.add)(path)
    return sorted(states)
