"""Runtimes with one promise broken each, to see that the simulation notices."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from perdure import Agent, RunnerContext
from perdure.actions.builtin import builtin
from perdure.actions.chat import chat_model_action
from perdure.actions.conversation import Conversation
from perdure.actions.tool_call import call_tools, tool_call_action
from perdure.agent.plan import Builtin
from perdure.journal.journal import ActionHistory, Journal
from perdure.journal.record import Record, RecordKind
from perdure.llm.events import ChatRequestEvent, ToolRequestEvent, ToolResponseEvent
from perdure.resource import ResourceType
from perdure.runtime.run import recovery
from perdure.runtime.run.state import RunState

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
    return dataclasses.replace(builtin(), actions=actions)


def taken_up_and_kept(event: ToolResponseEvent, ctx: RunnerContext) -> Conversation | None:
    """Take up a chat that waited for tools, and leave it waiting."""
    state = ctx.sensory_memory.get(f"_chat.{event.request_id}")
    if state is None:
        return None
    setup = ctx.get_resource(state["model"], ResourceType.CHAT_MODEL)
    conversation = Conversation.of_state(setup, state)
    conversation.take(event.responses)
    return conversation


def drawn_document_id(*_parts: object) -> str:
    """Return an id for an item of long-term memory that is drawn, not derived."""
    return f"drawn-{next(_counter)}"
