"""What the tests of chats share: models that note when they are asked, and crashes at commits."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.promises.support import State, out

from perdure import Agent, InputEvent, LocalEngine, RetryPolicy
from perdure.actions.chat import chat
from perdure.errors import StoreError
from perdure.llm.chat_model import ChatModel
from perdure.llm.events import ChatRequestEvent, ChatResponseEvent
from perdure.llm.message import ChatMessage, MessageRole, ToolCall
from perdure.llm.tool import tool
from perdure.resource import ResourceType
from perdure.runtime.job_runtime import JobRuntime
from perdure.store.base import Row
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.scripted_chat import ScriptedChatModel

Span = tuple[float, float]


QUICK = RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=0.0)


class TimedModel(ScriptedChatModel):
    """A scripted model that notes when each request began and ended."""

    def __init__(self, script: Any, **options: Any) -> None:
        super().__init__(script, **options)
        self.spans: list[Span] = []

    async def chat(self, *args: Any, **kwargs: Any) -> ChatMessage:
        began = time.monotonic()
        try:
            return await super().chat(*args, **kwargs)
        finally:
            self.spans.append((began, time.monotonic()))


def overlap(spans: Sequence[Span]) -> bool:
    """Say whether any two overlap."""
    ordered = sorted(spans)
    return any(first[1] > second[0] for first, second in itertools.pairwise(ordered))


def most_at_once(spans: Sequence[Span]) -> int:
    """Return how many there were at most at one time."""
    edges = sorted([(end, -1) for _, end in spans] + [(begin, 1) for begin, _ in spans])
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def wants(*names: str, **arguments: Any) -> list[ToolCall]:
    """Return calls of tools, all with these arguments."""
    return [ToolCall(id=f"c{n}", name=name, arguments=arguments) for n, name in enumerate(names)]


def said_by_tools(messages: Sequence[ChatMessage]) -> list[str]:
    """Return the contents of the tool messages."""
    return [each.content for each in messages if each.role is MessageRole.TOOL]


def model(script: Any = ("hello",), *, connection: Any = None, **options: Any) -> ChatModel:
    """Return a chat model with a script."""
    return ChatModel("fake", connection=connection or ScriptedChatModel(script), **options)


@tool
async def weather(city: str) -> str:
    """Tell the weather of a city."""
    State.calls.append(city)
    await asyncio.sleep(0)
    return f"sunny in {city}"


@tool
def population(city: str) -> int:
    """Tell how many live in a city, in thousands."""
    State.calls.append(city)
    return len(city) * 100


TWO_ROUNDS = "sunny in City0; 500; sunny in City2"


def two_rounds(messages: Sequence[ChatMessage], tools: Any) -> Any:
    """Want two tools called, then one, then answer with the message and what they said."""
    done = said_by_tools(messages)
    if len(done) < 3:
        names = ("weather", "population") if not done else ("weather",)
        return wants(*names, city=f"City{len(done)}")
    return f"{messages[0].content}: {'; '.join(done)}"


class ByEvents(Agent):
    """Asks the chat model `m` what its input says, by events; puts out what `show` returns."""

    def __init__(
        self,
        setup: ChatModel | None = None,
        show: Callable[[ChatResponseEvent], Any] = lambda event: event.response.content,
        **request: Any,
    ) -> None:
        if setup is not None:
            self.add_resource("m", ResourceType.CHAT_MODEL, setup)
        self.add_action("begin", InputEvent, self._begin)
        self.add_action("end", ChatResponseEvent, self._end)
        self._show = show
        self._request = request

    def _begin(self, event: InputEvent, ctx: Any) -> None:
        messages = event.input.get("messages", "hi")
        ctx.send_event(ChatRequestEvent("m", messages, **self._request))

    def _end(self, event: ChatResponseEvent, ctx: Any) -> None:
        out(ctx, self._show(event))


class Inside(Agent):
    """Asks the chat model `m` inside its one action."""

    def __init__(
        self,
        setup: ChatModel | None = None,
        show: Callable[[ChatResponseEvent], Any] = lambda event: event.response.content,
        **request: Any,
    ) -> None:
        if setup is not None:
            self.add_resource("m", ResourceType.CHAT_MODEL, setup)
        self.add_action("go", InputEvent, self._go)
        self._show = show
        self._request = request

    async def _go(self, event: InputEvent, ctx: Any) -> None:
        messages = event.input.get("messages", "hi")
        out(ctx, self._show(await chat(ctx, "m", messages, **self._request)))


class Crashed(Exception):
    """The job of a test crashed, as it was told to."""


class CrashAt:
    """Ends a job on sqlite at one of its commits, which is written or is not; nothing after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits = 0
        self._at = -1
        self._written = False
        self._dead = False
        self._runtime: JobRuntime | None = None
        commit, opened = SqliteStore.commit, JobRuntime.open

        async def opening(runtime: JobRuntime) -> None:
            self._runtime = runtime
            await opened(runtime)

        def committing(store: SqliteStore, rows: Sequence[Row]) -> asyncio.Future[None]:
            self.commits += 1
            if self.commits != self._at and not self._dead:
                return commit(store, rows)
            if not self._dead:
                self._dead = True
                if self._written:
                    commit(store, rows)
                assert self._runtime is not None
                self._runtime.stop(Crashed())
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(StoreError("crashed"))
            return failed

        monkeypatch.setattr(JobRuntime, "open", opening)
        monkeypatch.setattr(SqliteStore, "commit", committing)

    def arm(self, at: int, *, written: bool) -> None:
        """Crash at this commit, counted from now on; -1: never."""
        self.commits, self._at, self._written, self._dead = 0, at, written, False


def outputs_after_crashes(
    crash: CrashAt, agent: Callable[[], Any], inputs: list[Any], store: str, **options: Any
) -> tuple[list[Any], int]:
    """Run until it is through, crashing at random commits; return outputs and crashes."""
    chance = random.Random(store)
    for crashes in range(100):
        crash.arm(chance.randint(1, 6), written=chance.random() < 0.5)
        try:
            outputs = LocalEngine(store).run(agent(), inputs, key="k", **options)
        except Crashed:
            continue
        return [output.value for output in outputs], crashes
    raise AssertionError("it never came to its end")


def output_for_each_crash(
    crash: CrashAt, run: Callable[[str], Any], folder: Any, *, both: bool = True
) -> list[tuple[int, bool, Any]]:
    """Crash a job once at each of its commits, written and lost, and run it again.

    Args:
        crash: what crashes it.
        run: runs a job in a store to the end, with models of its own for each store.
        folder: where the stores are.
        both: False for one of both at each commit, in turn.

    Returns:
        The commit, whether it was written, and what the second run returned.
    """
    crash.arm(-1, written=False)
    run(f"sqlite:///{folder}/whole.db")
    found = []
    for at in range(1, crash.commits + 1):
        for written in (False, True) if both else (at % 2 == 0,):
            store = f"sqlite:///{folder}/{at}-{written}.db"
            crash.arm(at, written=written)
            try:
                run(store)
            except Crashed:
                pass
            crash.arm(-1, written=False)
            found.append((at, written, run(store)))
    return found


BOTH = [ByEvents, Inside]
