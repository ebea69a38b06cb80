"""Chat Completions of servers that nearly speak OpenAI's; loaded with the first model of that API.

What fits the API is read as Pydantic AI reads it, and costs nothing more. What does not is put into
its form first: arguments as an object, ids, types and usage that are null or missing, a whole
answer where a stream was asked for. What is no answer fails with the words of the provider.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import CompletedStreamedResponse, Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse

__all__ = ["lenient"]

_END_MARK: Final = "[DONE]"
_LONGEST_WORDS: Final = 300
_TOKENS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_NO_FORM: Final = (
    UnexpectedModelBehavior, LookupError, AttributeError, TypeError, ValueError, RuntimeError
)  # fmt: skip
_LAST_TIME: Final = 253_402_300_799_999  # in milliseconds, which is of the year 9999
# Of a message; beside what the API declares there may be reasoning, which is kept.
_DECLARED: Final = frozenset(
    ("annotations", "audio", "content", "function_call", "refusal", "role", "tool_calls")
)


def lenient(model: Model) -> Model:
    """Return a model of the Chat Completions API that understands what is nearly in its form.

    Any other model is returned as it is. The model that is given stays as it is.
    """
    if not isinstance(model, OpenAIChatModel) or isinstance(model, _Lenient):
        return model
    made = object.__new__(_lenient_class(type(model)))
    vars(made).update(vars(model))
    return made


@functools.cache
def _lenient_class(kind: type[OpenAIChatModel]) -> type[OpenAIChatModel]:
    return type(kind.__name__, (_Lenient, kind), {})


@functools.cache
def _lenient_stream(kind: type[OpenAIStreamedResponse]) -> type[OpenAIStreamedResponse]:
    return type(kind.__name__, (_LenientStream, kind), {})


class _Lenient(OpenAIChatModel):
    """Put before a class of models: it reads what their servers mean."""

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _lenient_stream(super()._streamed_response_cls)

    def _process_response(self, response: Any, **options: Any) -> ModelResponse:
        if not isinstance(response, ChatCompletion):
            raise _no_answer("with what is no JSON object", response)
        _refuse_error(response)
        try:
            if not _has_former_call(response):
                return super()._process_response(response, **options)
        except _NO_FORM:
            pass  # read below
        raw = _completion(response.model_dump(warnings=False), self.model_name)
        return super()._process_response(ChatCompletion.construct(**raw), **options)

    async def _process_streamed_response(
        self, response: Any, model_request_parameters: Any, model_settings: Any = None
    ) -> Any:
        http = response.response
        if "json" in http.headers.get("content-type", ""):
            whole = self._process_response(_json_answer(await http.aread()))
            return CompletedStreamedResponse(
                whole, model_request_parameters=model_request_parameters, replay_events=True
            )
        response._decoder = decoder = _Decoder(response._decoder)
        try:
            stream: Any = await super()._process_streamed_response(
                response, model_request_parameters, model_settings
            )
        except AttributeError:
            raise UnexpectedModelBehavior("the stream begins with what is no object") from None
        stream._decoder = decoder
        return stream


class _Decoder:
    """Reads a stream's events as the SDK does, and says whether its end mark came."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.ended = False

    async def aiter_bytes(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for event in self._decoder.aiter_bytes(chunks):
            self.ended = self.ended or event.data.startswith(_END_MARK)
            yield event


class _LenientStream(OpenAIStreamedResponse):
    """Put before a class of streamed responses: one that broke off is no answer."""

    _decoder: _Decoder
    _chosen = False  # whether there was a choice in any of its pieces

    async def _validate_response(self) -> AsyncIterator[ChatCompletionChunk]:
        indexes = _CallIndexes()
        chunks: AsyncIterable[Any] = super()._validate_response()
        async for chunk in chunks:
            if not isinstance(chunk, ChatCompletionChunk):
                continue
            _refuse_error(chunk)
            _mend(chunk)
            if chunk.choices:
                self._chosen = True
                indexes.tell_apart(chunk.choices[0].delta.tool_calls or [])
            yield chunk
        if indexes.nameless:
            raise UnexpectedModelBehavior("the server streams a call of no tool: it has no name")

    def _missing_finish_reason(self) -> Any:
        if not self._decoder.ended:
            raise UnexpectedModelBehavior(
                "the stream broke off: it ended without a finish reason and without its end mark"
            )
        if not self._chosen:
            raise UnexpectedModelBehavior("the server streams an answer without a choice")
        self._has_finish_reason = True  # the end mark stands for it
        return super()._missing_finish_reason()


class _CallIndexes:
    """Tells calls of tools apart that a server streams under one index, by their ids."""

    def __init__(self) -> None:
        self._last: dict[Any, tuple[Any, Any]] = {}  # by index: id and own index of its last call
        self._latest: Any = None  # the index that a piece without one goes on
        self._named: dict[Any, bool] = {}  # by index

    @property
    def nameless(self) -> bool:
        """Whether a call has come whose tool was not named; it is read as none at all."""
        return not all(self._named.values())

    def tell_apart(self, calls: list[Any]) -> None:
        for call in calls:
            known = self._last.get(call.index)
            name = getattr(call.function, "name", None)
            if call.index is not None or name is not None:
                self._latest = call.index
            self._named[self._latest] = name is not None or self._named.get(self._latest, False)
            if known is None:
                self._last[call.index] = known = (call.id, call.index)
            elif name and call.id and known[0] and call.id != known[0]:
                self._last[call.index] = known = (call.id, f"{call.index}:{call.id}")
            call.index = known[1]


# Failures


def _refuse_error(answer: ChatCompletion | ChatCompletionChunk) -> None:
    """Refuse what is no answer but an error, with the words of the provider.

    Raises:
        UnexpectedModelBehavior: It is one.
    """
    more = answer.model_extra or {}
    choices = answer.choices if isinstance(answer.choices, list) else []
    of_choice = (getattr(choices[0], "model_extra", None) or {}) if choices else {}
    error = more.get("error") or of_choice.get("error")
    if not choices and not error:
        error = more.get("message") or more.get("detail")
    if error and not (isinstance(error, dict) and not any(error.values())):
        raise UnexpectedModelBehavior(f"the server answers with an error: {_words(error)}")


def _words(error: Any) -> str:
    """Return what a provider says in an error, which may be wrapped."""
    while isinstance(error, dict):
        inner = error.get("error") or error.get("message") or error.get("detail")
        if not inner:
            break
        error = inner
    return error if isinstance(error, str) else json.dumps(error, default=str)


def _no_answer(what: str, raw: Any) -> UnexpectedModelBehavior:
    if isinstance(raw, dict):
        raw = {key: value for key, value in raw.items() if value is not None}
    said = raw if isinstance(raw, str) else json.dumps(raw, default=str)
    return UnexpectedModelBehavior(f"the server answers {what}: {said[:_LONGEST_WORDS]}")


# Forms


def _json_answer(body: bytes) -> Any:
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return ChatCompletion.construct(**found) if isinstance(found, dict) else found


def _has_former_call(response: ChatCompletion) -> bool:
    """Say whether a tool is called as it was before there were `tool_calls`."""
    message = getattr(response.choices[0], "message", None) if response.choices else None
    return bool(getattr(message, "function_call", None))


def _completion(raw: dict[str, Any], model: str) -> dict[str, Any]:
    """Return an answer that is nearly in the form of the API in that form.

    Raises:
        UnexpectedModelBehavior: There is no answer in it.
    """
    choices = raw.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise _no_answer("without a choice", raw)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _no_answer("without a message", raw)
    reason = choice.get("finish_reason")
    return {
        "id": _text(raw.get("id")),
        "object": "chat.completion",
        "created": _time(raw.get("created")),
        "model": _text(raw.get("model")) or model,
        "choices": [
            {
                "index": 0,
                "finish_reason": _text(reason) or None,
                "message": _message(message),
            }
        ],
        "usage": _usage(raw.get("usage")),
    }


def _message(message: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in message.items() if key not in _DECLARED}
    content = message.get("content")
    if isinstance(content, dict):
        content = [content]
    made["content"] = content if isinstance(content, str | list) else None
    made["refusal"] = _text(message.get("refusal")) or None
    made["role"] = "assistant"
    calls = message.get("tool_calls")
    if isinstance(calls, dict):
        calls = [calls]
    if not calls and (former := message.get("function_call")):
        calls = [{"function": former}]
    made["tool_calls"] = [_call(each) for each in calls] if calls else None
    return made


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    function = function if isinstance(function, dict) else call  # some are flat
    if not isinstance(function, dict) or not function.get("name"):
        raise _no_answer("with a call of no tool", call)
    arguments = function.get("arguments")
    if arguments is None:
        arguments = ""
    extra = {"extra_content": call["extra_content"]} if "extra_content" in call else {}
    return {
        "id": _text(call.get("id")),
        "type": "function",
        "function": {
            "name": str(function["name"]),
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
        },
        **extra,
    }


def _usage(usage: Any) -> dict[str, Any] | None:
    """Return the tokens as whole numbers; None where none is told."""
    if not isinstance(usage, dict) or not any(usage.get(name) for name in _TOKENS):
        return None
    made: dict[str, Any] = {name: _whole(usage.get(name)) for name in _TOKENS}
    made["total_tokens"] = made["total_tokens"] or made["prompt_tokens"] + made["completion_tokens"]
    for name, details in usage.items():
        if name.endswith("_details") and isinstance(details, dict):
            made[name] = {key: _whole(value) for key, value in details.items() if value is not None}
    return made


def _mend(chunk: ChatCompletionChunk) -> None:
    """Put a piece of a stream into the form of the API."""
    if chunk.created:
        chunk.created = _time(chunk.created)
    usage: Any = chunk.usage
    if usage is not None and not all(type(getattr(usage, name, None)) is int for name in _TOKENS):
        told = usage if isinstance(usage, dict) else usage.model_dump(warnings=False)
        tokens = _usage(told)
        chunk.usage = None if tokens is None else CompletionUsage.construct(**tokens)
    choices: Any = chunk.choices or ()
    for choice in choices:
        whole = getattr(choice, "message", None)  # some send pieces as whole messages
        if choice.delta is None:
            made = _message(whole) if isinstance(whole, dict) else {}
            choice.delta = ChoiceDelta.construct(**made)
        calls: Any = choice.delta.tool_calls
        former: Any = choice.delta.function_call
        if not calls and former and (former.name or former.arguments):  # some send empty ones
            calls = [ChoiceDeltaToolCall.construct(index=0, function=former)]
            choice.delta.tool_calls = calls
        for call in calls or ():
            if call.id is not None and not isinstance(call.id, str):
                call.id = str(call.id)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _time(value: Any) -> int:
    """Return when an answer was made, which may come in other units than seconds; 0: not known."""
    made = _whole(value)
    return made if abs(made) <= _LAST_TIME else 0


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
