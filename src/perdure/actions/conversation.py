"""Conversation: one chat with a model, from its first request to the final answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from perdure.actions.model_request import FINAL_RESULT, ask, emitter
from perdure.context import RunnerContext
from perdure.errors import ChatLimitError, OutputSchemaError
from perdure.llm.chat_model import BaseChatModelSetup
from perdure.llm.events import ChatResponseEvent
from perdure.llm.message import ChatMessage, MessageRole, ToolResponse, Usage
from perdure.llm.output_schema import OutputSchema
from perdure.llm.tool import Tool, tool_result_attachments, tool_result_text
from perdure.resource import Resource, ResourceType

__all__ = ["Conversation"]


class Conversation:
    """One chat: its messages, what it took so far, and what it may take.

    Owns: the messages. Lifecycle: begun in an action, or taken up from `state` in a later one.
    """

    def __init__(
        self,
        setup: BaseChatModelSetup,
        request_id: str,
        messages: list[ChatMessage],
        schema: OutputSchema | None,
        *,
        is_own: bool,
    ) -> None:
        self.setup = setup
        self.request_id = request_id
        self.messages = messages
        self.usage: Usage | None = None
        self.rounds = 0
        self._event_schema = schema
        self._is_own = is_own
        self._tools = setup.tool_list()
        self._misfits = 0

    @classmethod
    def begin(
        cls,
        setup: BaseChatModelSetup,
        messages: Sequence[ChatMessage],
        *,
        request_id: str = "",
        prompt_args: Mapping[str, Any] | None = None,
        output_schema: Any = None,
        is_own: bool = False,
    ) -> Self:
        """Begin a chat: the prompt of the setup is put before the messages.

        `is_own` says that these were made for it: nobody else changes them.
        """
        schema = None if output_schema is None else OutputSchema.of(output_schema)
        if schema is not None:
            schema.check()
        prepared = setup.prepared(messages, prompt_args)
        return cls(setup, request_id, prepared, schema, is_own=is_own)

    # Between actions

    def state(self) -> dict[str, Any]:
        """Return what a later action needs to go on, for the journal."""
        schema = self._event_schema
        return {
            "model": self.setup.name,
            "request_id": self.request_id,
            "messages": self.messages,
            "schema": None if schema is None else schema.source,
            "usage": self.usage,
            "rounds": self.rounds,
            "misfits": self._misfits,
        }

    @classmethod
    def of_state(cls, setup: BaseChatModelSetup, state: Mapping[str, Any]) -> Self:
        """Take up a chat where `state` was made."""
        schema = None if state["schema"] is None else OutputSchema.of(state["schema"])
        made = cls(setup, state["request_id"], state["messages"], schema, is_own=True)
        made.usage = state["usage"]
        made.rounds = state["rounds"]
        made._misfits = state["misfits"]
        return made

    # Asking

    @property
    def schema(self) -> OutputSchema | None:
        """What the final answer shall fit."""
        return self._event_schema or self.setup.output_schema

    @property
    def callable_tools(self) -> dict[str, Resource]:
        """The tools and sub-agents that the model may ask for, by name."""
        return {each.name: each for each in self._tools}

    async def ask(self, ctx: RunnerContext) -> ChatMessage:
        """Ask the model until it wants tools called or gives an answer that fits.

        Returns:
            The response; one with `tool_calls` is to be answered with `take`.

        Raises:
            ChatLimitError: the chat has taken all its tokens or rounds.
            OutputSchemaError: the answers do not fit, and the model has been told often enough.
        """
        tools = [each if isinstance(each, Tool) else as_model_tool(each) for each in self._tools]
        while True:
            self._check_budget()
            emit = emitter(ctx, self.setup, self.request_id)
            response = await ask(
                ctx, self.setup, self.messages, tools, self.schema, emit, is_own=self._is_own
            )
            self._count(ctx, response)
            if response.tool_calls:
                response = _with_distinct_calls(response)
            final = [call for call in response.tool_calls if call.name == FINAL_RESULT]
            if response.tool_calls and not (final and self.schema is not None):
                self._begin_round()
                self.messages.append(_sent_back(response))
                return response
            if self.schema is None:
                return response
            try:
                answer = final[0].arguments if final else response.content
                output = self.schema.parse(answer)
            except OutputSchemaError as error:
                self._misfits += 1
                if self._misfits > self.setup.output_retries:
                    raise OutputSchemaError(
                        f"chat model {self.setup.name!r} gave no answer that fits its schema in"
                        f" {self._misfits} requests: {error}"
                    ) from None
                self._tell_misfit(response, error)
            else:
                return dataclasses.replace(response, tool_calls=[], output=output)

    def take(self, responses: Mapping[str, ToolResponse]) -> None:
        """Answer the tool calls of the last response."""
        for call in self.messages[-1].tool_calls:
            response = responses[call.id]
            text = (
                tool_result_text(response.result)
                if response.success
                else f"Error: {response.error}"
            )
            message = ChatMessage.tool(text, call=call)
            message.attachments = tool_result_attachments(response.result)
            self.messages.append(message)

    def _check_budget(self) -> None:
        budget = self.setup.token_budget
        if budget is not None and self.usage is not None and self.usage.total_tokens >= budget:
            raise ChatLimitError(
                f"chat model {self.setup.name!r}: the chat has taken {self.usage.total_tokens}"
                f" tokens of its token_budget of {budget}"
            )

    def _begin_round(self) -> None:
        if self.rounds >= self.setup.max_rounds:
            raise ChatLimitError(
                f"chat model {self.setup.name!r} wants tools called after {self.rounds} rounds of"
                " tool calls: raise max_rounds if so many are meant"
            )
        self.rounds += 1

    def _count(self, ctx: RunnerContext, response: ChatMessage) -> None:
        used = response.usage
        if used is None:
            return
        self.usage = used if self.usage is None else self.usage + used
        group = ctx.agent_metric_group.sub_group(response.model or self.setup.name)
        group.get_counter("promptTokens").inc(used.input_tokens)
        group.get_counter("completionTokens").inc(used.output_tokens)

    def _tell_misfit(self, response: ChatMessage, error: OutputSchemaError) -> None:
        self.messages.append(_sent_back(response))
        said = f"The answer does not fit the schema: {error}. Give the whole answer again."
        for call in response.tool_calls:
            self.messages.append(ChatMessage.tool(said, call=call))
        if not response.tool_calls:
            self.messages.append(ChatMessage.user(said))

    def answered(self, response: ChatMessage) -> ChatResponseEvent:
        """Return the event that ends the chat."""
        return ChatResponseEvent(
            request_id=self.request_id,
            response=response,
            model=self.setup.name,
            usage=self.usage,
            rounds=self.rounds,
        )


def as_model_tool(agent: Resource) -> Tool:
    """Return a sub-agent as the tool that a model sees."""
    assert agent.RESOURCE_TYPE is ResourceType.AGENT
    described: Any = agent
    return Tool(
        described.run,
        name=agent.name,
        description=described.description,
        parameters=described.parameters,
    )


def _sent_back(response: ChatMessage) -> ChatMessage:
    """Return a response as it is sent back to the model: what only we use is left out."""
    return dataclasses.replace(response, role=MessageRole.ASSISTANT, usage=None, output=None)


def _with_distinct_calls(response: ChatMessage) -> ChatMessage:
    """Return a response whose tool calls have an id each; small models may give none."""
    ids = [call.id for call in response.tool_calls]
    if all(ids) and len(set(ids)) == len(ids):
        return response
    calls = [
        dataclasses.replace(call, id=f"{call.id or 'call'}_{n}")
        for n, call in enumerate(response.tool_calls, 1)
    ]
    return dataclasses.replace(response, tool_calls=calls)
