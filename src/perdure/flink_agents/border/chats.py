"""Chats: requests to a chat model, tried again as theirs are, until it has answered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from perdure.actions.bounds import bounded, is_of_the_callee
from perdure.config.configuration import AgentExecutionOptions as CoreOptions
from perdure.flink_agents.api.agents.agent import STRUCTURED_OUTPUT
from perdure.flink_agents.api.agents.types import OutputSchema
from perdure.flink_agents.api.chat_message import ChatMessage, MessageRole
from perdure.flink_agents.api.chat_models.chat_model import BaseChatModelSetup
from perdure.flink_agents.api.core_options import AgentExecutionOptions, ErrorHandlingStrategy
from perdure.flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from perdure.flink_agents.api.events.event import Event
from perdure.flink_agents.api.events.tool_event import ToolRequestEvent, ToolResponseEvent
from perdure.flink_agents.api.resource import ResourceType
from perdure.flink_agents.border.context import BorderContext
from perdure.printable import printable_logger

__all__ = ["Chats"]

logger = printable_logger("perdure")

_STATES: Final = "_chats"  # in sensory memory: chats that wait for tools, by the tool request's id
_FENCED: Final = re.compile(r"(?s)^```(?:json)?\s*(.*?)\s*```$")
_UNFINISHED: Final = {
    "length": "is truncated: raise the model's max output tokens, or ask for a smaller output",
    "content_filter": "was withheld by the provider's content filter: adjust the prompt",
}


class Chats:
    """The chats of one action.

    Args:
        ctx: The action's context.
    """

    def __init__(self, ctx: BorderContext) -> None:
        self._ctx = ctx

    async def take(self, event: Event) -> None:
        """Begin the chat that an event asks for, or go on with the one whose tools it answers."""
        if isinstance(event, ChatRequestEvent):
            schema = event.output_schema
            state = {
                "request_id": event.id.hex,
                "model": event.model,
                "messages": [each.model_dump(mode="json") for each in event.messages],
                "prompt_args": event.prompt_args,
                "schema": None if schema is None else schema.model_dump(mode="json"),
                "retries": 0,
                "waited": 0,
            }
        else:
            assert isinstance(event, ToolResponseEvent)
            found = self._taken_up(event)
            if found is None:
                return  # somebody else asked for these tools
            state = found
        await self._go_on(state)

    def _taken_up(self, event: ToolResponseEvent) -> dict[str, Any] | None:
        memory = self._ctx.core.sensory_memory
        path = f"{_STATES}.{event.request_id.hex}"
        state: dict[str, Any] | None = memory.get(path)
        if state is None:
            return None
        memory.delete(path)
        for call_id, response in event.responses.items():
            external = event.external_ids.get(call_id)
            message = ChatMessage(
                role=MessageRole.TOOL,
                content=str(response),
                extra_args={"external_id": external} if external else {},
            )
            state["messages"].append(message.model_dump(mode="json"))
        return state

    async def _go_on(self, state: dict[str, Any]) -> None:
        setup: BaseChatModelSetup
        setup = self._ctx.get_resource(state["model"], ResourceType.CHAT_MODEL)
        response = await self._answer(setup, state)
        if response is None:
            return
        if response.tool_calls:
            request = ToolRequestEvent(model=state["model"], tool_calls=response.tool_calls)
            self._ctx.send_event(request)
            state["messages"].append(response.model_dump(mode="json"))
            self._ctx.core.sensory_memory.set(f"{_STATES}.{request.id.hex}", state)
            return
        self._count_retries(setup, state)
        self._ctx.send_event(
            ChatResponseEvent(
                request_id=UUID(state["request_id"]),
                response=response,
                retry_count=state["retries"],
                total_retry_wait_sec=state["waited"],
            )
        )

    async def _answer(self, setup: BaseChatModelSetup, state: dict[str, Any]) -> ChatMessage | None:
        """Return the model's answer; None where it failed and that is ignored."""
        strategy = _strategy(self._ctx)
        retries = _retries(self._ctx, strategy)
        interval = max(0, self._ctx.config.get(AgentExecutionOptions.RETRY_WAIT_INTERVAL) or 0)
        failed = 0
        while True:
            try:
                return _checked(await self._request(setup, state), state["schema"])
            except Exception as error:
                if not is_of_the_callee(error):
                    raise
                if strategy is ErrorHandlingStrategy.IGNORE:
                    logger.warning(
                        "Chat request %s failed with error: %s, ignored.",
                        state["request_id"],
                        error,
                    )
                    return None
                if failed >= retries:
                    raise
                wait = interval * (1 << failed)
                failed += 1
                logger.warning(
                    "Chat request %s failed with error: %s, retrying %d / %d, waiting %s s.",
                    state["request_id"],
                    error,
                    failed,
                    retries,
                    wait,
                )
                state["retries"] += 1
                state["waited"] += wait
            if wait > 0:
                await self._ctx.core.sleep(wait)

    async def _request(self, setup: BaseChatModelSetup, state: Mapping[str, Any]) -> ChatMessage:
        messages = [ChatMessage.model_validate(each) for each in state["messages"]]
        calling = bounded(self._ctx.core, f"{state['model']}.chat", CoreOptions.CHAT_ASYNC)
        found = await calling.durable_execute_async(
            setup.chat, messages, prompt_args=state["prompt_args"]
        )
        if not isinstance(found, ChatMessage):
            raise ValueError("ChatModel returned a null response.")
        counted = [
            found.extra_args.get(each)
            for each in ("model_name", "promptTokens", "completionTokens")
        ]
        if all(counted):
            name, prompt, completion = counted
            setup._record_token_metrics(
                str(name), int(prompt or 0), int(completion or 0), self._ctx.action_metric_group
            )
        return found

    def _count_retries(self, setup: BaseChatModelSetup, state: Mapping[str, Any]) -> None:
        if state["retries"]:
            group = self._ctx.action_metric_group.get_sub_group("model", setup.connection)
            group.get_counter("retryCount").inc(state["retries"])
            group.get_counter("retryWaitSec").inc(int(state["waited"]))


def _strategy(ctx: BorderContext) -> ErrorHandlingStrategy | None:
    option = AgentExecutionOptions.ERROR_HANDLING_STRATEGY
    if option.get_key() not in ctx.config.conf_data:
        return None
    found: ErrorHandlingStrategy = ctx.config.get(option)
    return found


def _retries(ctx: BorderContext, strategy: ErrorHandlingStrategy | None) -> int:
    """Return how often to try again: 0.3 asks for a strategy, 0.4 for a number."""
    option = AgentExecutionOptions.MAX_RETRIES
    if strategy is ErrorHandlingStrategy.RETRY:
        return max(0, int(ctx.config.get(option)))
    if strategy is None and option.get_key() in ctx.config.conf_data:
        return max(0, int(ctx.config.get(option)))
    return 0


def _checked(response: ChatMessage, schema: Any) -> ChatMessage:
    """Return an answer that is whole, and fits its schema.

    Raises:
        ValueError: It is not, or does not.
    """
    reason = response.extra_args.get("finish_reason")
    if reason in _UNFINISHED:
        raise ValueError(f"ChatModel response {_UNFINISHED[reason]} (finish_reason={reason!r})")
    if schema is None or response.tool_calls:
        return response
    wanted = OutputSchema.model_validate(schema).output_schema
    text = response.content.strip()
    output = json.loads(_FENCED.sub(r"\1", text))
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        output = wanted.model_validate(output)
    else:
        output = {name: output[name] for name in wanted.get_field_names()}
    return response.model_copy(
        update={"extra_args": {**response.extra_args, STRUCTURED_OUTPUT: output}}
    )
