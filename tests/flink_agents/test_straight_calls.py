"""Methods of resources that an action calls straight: durable calls, named by resource."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage
from flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    embedding_model_connection,
    embedding_model_setup,
    vector_store,
)
from flink_agents.api.embedding_models.embedding_model import (
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
)
from flink_agents.api.events.context_retrieval_event import (
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
)
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.memory_reference import MemoryRef
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.vector_stores.vector_store import (
    BaseVectorStore,
    Document,
    VectorStoreQuery,
)
from tests.flink_agents.models import HERE

from perdure.flink_agents.border import straight_calls

ME = "tests.flink_agents.test_straight_calls"
EMBEDDED: list[str] = []


class LengthConnection(BaseEmbeddingModelConnection):
    def embed(self, text: Any, **kwargs: Any) -> Any:
        EMBEDDED.append(text)
        return [float(len(text))]


class LengthSetup(BaseEmbeddingModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model}


class NearestLength(BaseVectorStore):
    """A store of the user's own: the nearest length wins."""

    texts: list[str]

    @property
    def store_kwargs(self) -> dict[str, Any]:
        return {}

    def get(self, ids: Any = None, collection_name: Any = None, **kwargs: Any) -> list[Document]:
        return [Document(content=each) for each in self.texts]

    def delete(self, ids: Any = None, collection_name: Any = None, **kwargs: Any) -> None:
        self.texts.clear()

    def _query_embedding(
        self, embedding: list[float], limit: int = 10, **kwargs: Any
    ) -> list[Document]:
        near = sorted(self.texts, key=lambda text: abs(len(text) - embedding[0]))
        return [Document(content=each) for each in near[:limit]]


class Retrieving(Agent):
    @embedding_model_connection
    @staticmethod
    def lengths() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=f"{ME}.LengthConnection")

    @embedding_model_setup
    @staticmethod
    def embedder() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=f"{ME}.LengthSetup", connection="lengths", model="len")

    @vector_store
    @staticmethod
    def store() -> ResourceDescriptor:
        return ResourceDescriptor(
            clazz=f"{ME}.NearestLength", embedding_model="embedder", texts=["a", "bbb", "ccccc"]
        )

    @chat_model_connection
    @staticmethod
    def connection() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=f"{HERE}.EchoConnection")

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=f"{HERE}.EchoSetup", connection="connection")


class Plain(Retrieving):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        store = ctx.get_resource("store", ResourceType.VECTOR_STORE)
        found = store.query(VectorStoreQuery(query_text="xx", limit=1)).documents
        model = ctx.get_resource("model", ResourceType.CHAT_MODEL)
        said = model.chat([ChatMessage(content=found[0].content)])
        embedding = ctx.get_resource("embedder", ResourceType.EMBEDDING_MODEL).embed("four")
        ctx.send_event(OutputEvent(output=[found[0].content, said.content, embedding]))


class Coroutine(Retrieving):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def begin(event: Event, ctx: RunnerContext) -> None:
        embedder = ctx.get_resource("embedder", ResourceType.EMBEDDING_MODEL)
        inline = embedder.embed("inline")
        awaited = await ctx.durable_execute_async(embedder.embed, "awaited")
        ctx.send_event(OutputEvent(output=[inline, awaited]))


class Asked(Retrieving):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(ContextRetrievalRequestEvent("xxxx", "store", max_results=2))

    @action(ContextRetrievalResponseEvent.EVENT_TYPE)
    @staticmethod
    def end(event: ContextRetrievalResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=[each.content for each in event.documents]))


def run(agent: Agent, store: str = "memory://", inputs: int = 1) -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="straight")
    values = [{"key": n, "value": n} for n in range(inputs)]
    outputs = env.from_list(values).apply(agent).to_list()
    env.execute()
    return [value for each in outputs for value in each.values()]


def test_g1_they_return_the_value_and_are_recorded(store: str) -> None:
    EMBEDDED.clear()
    assert run(Plain(), store) == [["a", "echo: a", [4.0]]]
    assert EMBEDDED == ["xx", "four"]
    if store.startswith("sqlite"):
        run(Plain(), store)
        assert EMBEDDED == ["xx", "four"]


def test_in_a_coroutine_they_run_inline_and_are_warned_about_once(caplog) -> None:
    straight_calls._WARNED.clear()
    with caplog.at_level(logging.WARNING, "perdure"):
        assert run(Coroutine(), inputs=2) == [[[6.0], [7.0]]] * 2
    said = [each.getMessage() for each in caplog.records]
    assert [each for each in said if "durable_execute_async" in each] == [
        each for each in said if each.startswith("embedder.embed ")
    ]
    assert len([each for each in said if each.startswith("embedder.embed ")]) == 1


def test_retrieval_asks_the_store_that_an_event_names(store: str) -> None:
    assert run(Asked(), store) == [["bbb", "ccccc"]]


def test_outside_of_actions_they_are_plain_calls() -> None:
    assert LengthConnection().embed("four") == [4.0]


class Remembering(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        memory = ctx.short_term_memory
        ref = memory.set("a.b", [1])
        assert ref == MemoryRef.create(ref.memory_type, "a.b")
        assert memory.get("a").get("b") == [1]
        assert memory.get("a").set("c", {"d": None}).path == "a.c"
        assert sorted(memory.get("a").get_field_names()) == ["b", "c"]
        assert memory.get_fields() == {"a": "NestedObject"}
        assert not memory.is_exist("nothing")
        assert memory.get("nothing") is None
        with pytest.raises(TypeError, match=r"a\.x"):
            memory.set("a.x", {"deep": object()})
        ctx.sensory_memory.new_object("o").set("v", 1)
        ctx.send_event(Event(type="next", attributes={"ref": ref.model_dump(mode="json")}))

    @action("next")
    @staticmethod
    def end(event: Event, ctx: RunnerContext) -> None:
        ref = MemoryRef.model_validate(event.get_attr("ref"))
        metrics = ctx.action_metric_group.get_sub_group("kind", "x")
        metrics.get_counter("n").inc(2)
        metrics.get_histogram("h", window_size=10).update(3)
        metrics.get_gauge("g").update(1.5)
        metrics.get_meter("m").mark()
        assert metrics.get_counter("n").get_count() == 2
        notes = ctx.long_term_memory.get_memory_set("notes")
        ids = notes.add(["the moon is far", "bread is good"], [{"n": 1}, {"n": 2}])
        found = notes.search("bread", 1)
        assert [each.additional_metadata for each in notes.get(ids[:1])] == [{"n": 1}]
        notes.delete(ids[0])
        ctx.send_event(
            OutputEvent(
                output=[
                    ref.resolve(ctx),
                    ctx.sensory_memory.get("o").get("v"),
                    [each.value for each in found],
                    len(notes.get()),
                ]
            )
        )


def test_memory_references_metrics_and_long_term_memory(store: str) -> None:
    assert run(Remembering(), store) == [[[1], 1, ["bread is good"], 1]]


async def remember(event: Event, ctx: RunnerContext) -> None:
    notes = ctx.long_term_memory.get_memory_set("notes")
    straight = notes.add(["the moon is far", "bread is good"])
    more = await ctx.durable_execute_async(notes.add, "cheese is better", metadatas={"n": 3})
    calls = [
        ctx.durable_execute_async(notes.search, "bread", 1),
        ctx.durable_execute_async(notes.search, query="cheese", limit=1),
    ]
    found = [each.value[0].value for each in await ctx.gather(*calls)]
    kept = [each.value for each in notes.search("moon", 1)]
    assert await ctx.durable_execute_async(notes.delete, straight[0]) is None
    left = len(ctx.durable_execute(notes.get))
    of_one = (await ctx.durable_execute_async(notes.get, more))[0].additional_metadata
    assert await ctx.durable_execute_async(ctx.long_term_memory.delete_memory_set, "notes")
    ctx.send_event(OutputEvent(output=[found, kept, left, of_one, len(notes.get())]))


def remember_plainly(event: Event, ctx: RunnerContext) -> None:
    notes = ctx.long_term_memory.get_memory_set("notes")
    ids = ctx.durable_execute_async(notes.add, ["the moon is far", "bread is good"]).result()
    found = ctx.durable_execute(notes.search, "bread", 1)
    notes.delete(ids[0])
    ctx.send_event(OutputEvent(output=[[each.value for each in found], len(notes.get())]))


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (remember, [["bread is good", "cheese is better"], ["the moon is far"], 2, {"n": 3}, 0]),
        (remember_plainly, [["bread is good"], 1]),
    ],
)
def test_g1_long_term_memory_in_actions_of_both_forms(
    act: Any, expected: Any, store: str, caplog
) -> None:
    straight_calls._WARNED.clear()
    with caplog.at_level(logging.WARNING, "perdure"):
        for _ in range(2):
            agent = Agent().add_action("remember", [InputEvent.EVENT_TYPE], act)
            assert run(agent, store) == [expected]
    said = [each.getMessage() for each in caplog.records]
    straight = [each for each in said if each.startswith("long_term_memory.")]
    named = ["add", "get", "search"] if act is remember else []
    assert sorted(each.split()[0] for each in straight) == [f"long_term_memory.{n}" for n in named]
    assert all("durable_execute_async" in each for each in straight)


def waited(n: int) -> int:
    time.sleep(0.01)
    return n


class Waiting(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def begin(event: Event, ctx: RunnerContext) -> None:
        calls = [ctx.durable_execute_async(waited, n) for n in range(3)]
        outcomes = await ctx.gather(*calls)
        ctx.send_event(OutputEvent(output=[each.value for each in outcomes]))


def test_several_calls_are_gathered() -> None:
    assert run(Waiting()) == [[0, 1, 2]]
