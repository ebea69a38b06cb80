"""Tool calls that a chat model makes of sub-agents: `_subagent_NAME`."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter

from perdure.flink_agents.api.resource import CALLABLE_NAME_PREFIX, ResourceType
from perdure.flink_agents.api.subagent import SubagentFuture, SubagentSetup
from perdure.flink_agents.border.context import BorderContext

__all__ = ["Delegations", "is_delegation"]

_COMPACT: Final = (",", ":")


def is_delegation(name: str) -> bool:
    """Say whether a tool call is one of a sub-agent."""
    return name.startswith(CALLABLE_NAME_PREFIX)


class Delegations:
    """The calls of sub-agents in one answer of a chat model.

    Args:
        ctx: The context of the action that makes them.
    """

    def __init__(self, ctx: BorderContext) -> None:
        self._ctx = ctx
        self._open: dict[str, SubagentFuture] = {}  # by the id of the tool call

    async def made(self, call_id: str, name: str, arguments: dict[str, Any]) -> str:
        """Ask a sub-agent, and return its result as the model reads it.

        Args:
            call_id: The id of the tool call.
            name: What the model calls the sub-agent.
            arguments: What it asks.

        Raises:
            DelegationError: The sub-agent failed.
        """
        called = name.removeprefix(CALLABLE_NAME_PREFIX)
        setup = self._ctx.get_resource(called, ResourceType.AGENT)
        if not isinstance(setup, SubagentSetup):
            raise TypeError(
                f"Sub-agent {called} must resolve to a SubagentSetup, but was"
                f" {type(setup).__name__}."
            )
        future = self._open[call_id] = await setup.submit(self._ctx, arguments)
        result = await future
        del self._open[call_id]
        if not result.success:
            raise DelegationError(result.error_message or "")
        return _text(result.result, type(setup).result_type())

    def give_up(self, call_id: str) -> None:
        """Cancel what nobody waits for any more."""
        if (future := self._open.pop(call_id, None)) is not None:
            future.cancel()


class DelegationError(Exception):
    """A sub-agent failed, for the reason that it says."""

    __journal_name__ = "perdure:flink_agents.DelegationError"


def _text(result: Any, result_type: type) -> str:
    """Return a result as a text: itself, or JSON.

    Raises:
        TypeError: It has a part that JSON does not know.
    """
    if result_type is not object:
        adapter: TypeAdapter[Any] = TypeAdapter(result_type)
        result = adapter.dump_python(adapter.validate_python(result), mode="json")
    if isinstance(result, str):
        return result
    _check_json(result, "result", frozenset())
    return json.dumps(result, separators=_COMPACT, ensure_ascii=False)


def _check_json(value: Any, path: str, above: frozenset[int]) -> None:
    if value is None or isinstance(value, str | int | float):
        return
    if id(value) in above:
        raise TypeError(f"{path} of the sub-agent holds itself: return plain data")
    if isinstance(value, dict):
        for name, each in value.items():
            _check_json(each, f"{path}.{name}", above | {id(value)})
    elif isinstance(value, list | tuple):
        for n, each in enumerate(value):
            _check_json(each, f"{path}[{n}]", above | {id(value)})
    else:
        raise TypeError(
            f"{path} of the sub-agent is a {type(value).__name__}, which is no JSON: return plain"
            " data, or a model that result_type names"
        )
