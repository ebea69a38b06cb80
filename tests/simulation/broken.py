"""Runtimes with one promise broken each, to see that the simulation notices."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure import Agent, RunnerContext
from perdure.actions.builtin import builtin
from perdure.actions.chat import chat_model_action
from perdure.actions.conversation import Conversation
from perdure.actions.tool_call import call_tools, tool_call_action
from perdure.agent.plan import Builtin
from perdure.connectors.base import SinkState
from perdure.engine.reading import InputReader
from perdure.engine.sink_pump import SinkPump
from perdure.errors import StoreError
from perdure.journal.journal import ActionHistory, Journal
from perdure.journal.record import RULES, Record, RecordKind
from perdure.llm.events import ChatRequestEvent, ToolRequestEvent, ToolResponseEvent
from perdure.resource import ResourceType
from perdure.runtime.run import recovery
from perdure.runtime.run.state import RunState
from perdure.runtime.shared.admission import NewInput
from perdure.store.group_commit import GroupCommit, Item

_recover = recovery.recover
_counter = itertools.count()


class SettlesInCallOrder(Journal):
    """It forgets in which order calls settled."""

    def __init__(self, history: ActionHistory, where: object) -> None:
        in_order = sorted(history.settlements, key=lambda record: record.call)
        super().__init__(history._replace(settlements=in_order), where)


def without_attempts(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, but for the attempts of its calls that have failed."""
    kept = [record for record in records if record.kind != RecordKind.ATTEMPT]
    return _recover(kept, *args, **kwargs)


def drawn_event_id(*_parts: object) -> str:
    """Return an id for an event that is drawn, not derived."""
    return f"drawn-{next(_counter)}"


def without_newest_settlement(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, but for the last outcome of a call in it."""
    kept = list(records)
    for index in reversed(range(len(kept))):
        if kept[index].kind == RecordKind.RESULT:
            del kept[index]
            break
    return _recover(kept, *args, **kwargs)


def apply_nothing(current: dict[str, Any], delta: Sequence[Any], now: int) -> None:
    """Forget what completed actions of an unfinished run wrote to memory."""


async def answers_tools_twice(event: ToolRequestEvent, ctx: RunnerContext) -> None:
    """Answer a request for tools, and answer it again."""
    await tool_call_action(event, ctx)
    responses = await call_tools(ctx, {}, event.tool_calls)
    ctx.send_event(ToolResponseEvent(request_id=event.id, responses=responses))


def builtin_that_answers_twice() -> Builtin:
    """Return the built-in actions, of which one answers twice."""
    actions = (
        Agent()
        .add_action("chat_model_action", [ChatRequestEvent, ToolResponseEvent], chat_model_action)
        .add_action("tool_call_action", ToolRequestEvent, answers_tools_twice)
    )
    return msgspec.structs.replace(builtin(), actions=actions)


def taken_up_and_kept(event: ToolResponseEvent, ctx: RunnerContext) -> Conversation | None:
    """Take up a chat that waited for tools, and leave it waiting."""
    state = ctx.sensory_memory.get(f"_chat.{event.request_id}")
    if state is None:
        return None
    setup = ctx.get_resource(state["model"], ResourceType.CHAT_MODEL)
    conversation = Conversation.of_state(setup, state)
    conversation.take(event.responses)
    return conversation


def without_beginnings(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, but for what says that attempts of its calls had begun."""
    return _recover([r for r in records if not r.is_beginning], *args, **kwargs)


def by_the_newest_rules(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, and forget by which rules its actions had begun."""
    changed = [r._replace(rules=RULES) if r.kind == RecordKind.START else r for r in records]
    return _recover(changed, *args, **kwargs)


def beginning_anew(records: Sequence[Record], *args: Any, **kwargs: Any) -> RunState:
    """Recover a run, and forget when it had begun."""
    return msgspec.structs.replace(_recover(records, *args, **kwargs), began=0)


async def reads_no_inbox(_runs: object, _ticket: object) -> None:
    """Let a deadline fire, whatever has come meanwhile."""


def drawn_tick(value: Any, key: Any, id_: str, **options: Any) -> NewInput:
    """Return a schedule's input under an id that is drawn."""
    return NewInput(value, key, f"{id_} {next(_counter)}", **options)


def outcome_all_the_same(_commits: GroupCommit, items: list[Item], _error: StoreError) -> None:
    """Tell those whose commit failed that it did not."""
    for item in items:
        item.done(None)


def not_in_its_series(_item: NewInput, future: Any, error: StoreError) -> None:
    """Fail an input that the store lost, and let others overtake it."""
    if not future.done():
        future.set_exception(error)


_heed = InputReader._heed


def heeds_no_loss(reader: Any, admitted: Any) -> None:
    """See to an input that is decided, and not to what is behind one that the store lost."""
    reader._settle_aside = lambda: None
    try:
        _heed(reader, admitted)
    finally:
        del reader._settle_aside


def only_by_number(gate: Any) -> bool:
    """Let an attempt begin under a limit, however many have begun just now."""
    return gate._concurrency is None or gate.running < gate._concurrency


def cuts_nothing(_file: Any, _fd: int, size: int, state: Any, _undelivered: Any) -> SinkState:
    """Go on behind whatever the file holds."""
    return SinkState(state.base if state else size, size)


async def marks_first(pump: SinkPump) -> None:
    """Mark outputs as delivered, then write them."""
    while True:
        if not pump._queue:
            pump._wake = asyncio.get_running_loop().create_future()
            await pump._wake
        pump._busy = True
        output = pump._queue[0]
        await pump._delivered([output], None)
        await pump._sink.write([output[2]])
        pump._queue.popleft()
        pump._busy = False
        if not pump._queue and pump._idle is not None and not pump._idle.done():
            pump._idle.set_result(None)


def drawn_document_id(*_parts: object) -> str:
    """Return an id for an item of long-term memory that is drawn, not derived."""
    return f"drawn-{next(_counter)}"
