"""The agent's operator on a desk: its state and timers are dicts, and it is driven by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from tests.patience import PATIENCE

from perdure import Agent, Document, InputEvent, OutputEvent
from perdure.codec.codec import Codec
from perdure.codec.digests import digest, shard_of
from perdure.engine.flink.failures import FailedRun, read_failure
from perdure.engine.flink.operator import AgentOperator, Failed
from perdure.engine.flink.rows import dump
from perdure.engine.flink.spec import FunctionSpec
from perdure.llm.vector_store import VectorStore
from perdure.resource import ResourceType

SHARDS = 4
begun: list[Any] = []
gate = threading.Event()


async def hold(value: str) -> str:
    begun.append(value)
    while not gate.is_set():
        await asyncio.sleep(0.002)
    return value


class Asks(Agent):
    """Does what its input says."""

    def __init__(self) -> None:
        super().__init__()
        self.add_action("act", InputEvent, self.act)
        self.add_resource("papers", ResourceType.VECTOR_STORE, VectorStore())

    async def act(self, event: Any, ctx: Any) -> None:
        what, _, rest = event.input.partition(" ")
        if what == "signal":
            await ctx.wait_for_signal(rest)
        elif what == "approval":
            await ctx.wait_for_approval(rest)
        elif what == "child":
            await ctx.submit("hello", key=rest)
        elif what == "document":
            store = ctx.get_resource("papers", ResourceType.VECTOR_STORE)
            await ctx.durable_execute_async(store.add, Document(content=rest, embedding=[1.0]))
        elif what == "hold":
            await ctx.durable_execute_async(hold, rest)
        elif what == "fail":
            raise ValueError(rest)
        count = (ctx.short_term_memory.get("count") or 0) + 1
        ctx.short_term_memory.set("count", count)
        ctx.send_event(OutputEvent(output=[event.input, count]))


class Desk:
    """An operator of one subtask; elements are given and timers fired by hand.

    Args:
        state: what a desk before it has left; by shard.
    """

    def __init__(
        self, state: dict[int, dict[str, bytes]] | None = None, *, agent: str = "", **spec: Any
    ) -> None:
        options = {"job": "desk", "shards": SHARDS, **spec}
        self.spec = FunctionSpec(agent or "tests.flink_desk:Asks", **options)
        self.state = {} if state is None else state
        self.timers: list[tuple[str, int, int]] = []
        self.outputs: list[Any] = []
        self.failed: list[FailedRun] = []
        self.now = time.time_ns()
        self.clock = 1_000  # of timers, ms
        self._shard = 0
        self.operator = AgentOperator(self.spec, self, lambda: self.now)

    def __enter__(self) -> Self:
        self.operator.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.operator.close()

    def give(self, value: Any, key: str = "k", id: str | None = None) -> int:
        shard = shard_of(digest(key), SHARDS)
        encode = Codec().encode
        data = dump((id, encode(key), encode(value)))
        self._told(shard, self.operator.element(shard, data, self))
        return shard

    def tick(self, shard: int) -> None:
        self._told(shard, self.operator.element(shard, b"", self))

    def pump(self, shard: int, timestamp: int = 1) -> None:
        self._told(shard, self.operator.timer(timestamp, shard, self))

    def until(self, condition: Callable[[], Any], shard: int | None = None) -> None:
        """Return when something is so; the shard is pumped meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            if shard is not None:
                self.pump(shard)
            time.sleep(0.002)

    def _told(self, shard: int, told: Any) -> None:
        self._shard = shard
        for each in told:
            if isinstance(each, Failed):
                self.failed.append(read_failure(each.data))
            else:
                self.outputs.append(each)

    def kinds(self, shard: int) -> str:
        """Return the kinds of the entries in the state of a shard."""
        return "".join(sorted(name[0] for name in self.state.get(shard, {})))

    # State and timers of the current shard

    def select(self, shard: int) -> None:
        self._shard = shard

    def items(self) -> Any:
        return list(self.state.get(self._shard, {}).items())

    def get(self, name: str) -> bytes | None:
        return self.state.get(self._shard, {}).get(name)

    def put(self, name: str, data: bytes) -> None:
        self.state.setdefault(self._shard, {})[name] = data

    def remove(self, name: str) -> None:
        self.state.get(self._shard, {}).pop(name, None)

    def current_processing_time(self) -> int:
        return self.clock

    def register_processing_time_timer(self, timestamp: int) -> None:
        self.timers.append(("processing", self._shard, timestamp))

    def register_event_time_timer(self, timestamp: int) -> None:
        self.timers.append(("event", self._shard, timestamp))
