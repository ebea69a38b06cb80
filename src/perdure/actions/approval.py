"""Approval: a person agrees to a tool call, by a signal, before it is made."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Final

from perdure.context import RunnerContext
from perdure.errors import ContextAccessError
from perdure.llm.message import ToolCall

__all__ = ["Verdict", "approval"]

WAITING: Final = "waiting_for_approval"
_SHOWN: Final = 200  # characters of a call that a person is asked about


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person said.

    Attributes:
        arguments: The arguments that the call is made with.
        denied: Why it is not made, for the model; None where it is.
    """

    __journal_name__ = "perdure:Verdict"

    arguments: dict[str, Any]
    denied: str | None = None


async def approval(ctx: RunnerContext, call: ToolCall) -> Verdict:
    """Return when a person has agreed to a tool call or refused it.

    Each call waits for an answer of its own, whose name nobody can guess and no other call has: an
    approval sent twice approves nothing else. The run's status lists what waits.
    """
    assert isinstance(call.arguments, dict)
    name = f"approve-{ctx.uuid4().hex[:8]}"
    entry = (WAITING, name)
    shown = ", ".join(f"{each}={value!r}" for each, value in call.arguments.items())
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    asked = {"tool": call.name, "arguments": call.arguments, "signal": name}
    ctx.set_status(asked, entry=entry)
    question = f"{call.name}({shown})"
    try:
        said = await ctx.wait_for_approval(name, question)
    finally:
        with contextlib.suppress(ContextAccessError):  # the action has ended
            ctx.set_status(None, entry=entry)
    if said.approved:
        changed = said.arguments
        return Verdict(arguments=call.arguments if changed is None else changed)
    reason = f": {said.comment}" if said.comment else ""
    denied = f"a person refused the call of {call.name}{reason}"
    return Verdict(arguments=call.arguments, denied=denied)
