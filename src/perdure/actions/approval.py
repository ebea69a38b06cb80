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

_YES: Final = ("yes", "y", "true", "ok", "approve", "approved")


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

    Each call waits for a signal of its own, whose name nobody can guess and no other call has: an
    approval sent twice approves nothing else. The run's status lists what waits.
    """
    assert isinstance(call.arguments, dict)
    name = f"approve-{ctx.uuid4().hex[:8]}"
    entry = (WAITING, name)
    asked = {"tool": call.name, "arguments": call.arguments, "signal": name}
    ctx.set_status(asked, entry=entry)
    try:
        said = await ctx.wait_for_signal(name)
    finally:
        with contextlib.suppress(ContextAccessError):  # the action has ended
            ctx.set_status(None, entry=entry)
    return _verdict(call.name, call.arguments, said)


def _verdict(tool: str, arguments: dict[str, Any], said: Any) -> Verdict:
    """Read a signal's value: true, "yes", or {"approved": ..., "reason": ..., "arguments": ...}.

    Whatever is no clear agreement refuses.
    """
    reason, changed = "", arguments
    if isinstance(said, dict):
        reason = str(said.get("reason") or "")
        changed = said.get("arguments", arguments)
        said = said.get("approved")
    agreed = said is True or (isinstance(said, str) and said.strip().lower() in _YES)
    if agreed and isinstance(changed, dict):
        return Verdict(arguments=changed)
    return Verdict(
        arguments=arguments,
        denied=f"a person refused the call of {tool}" + (f": {reason}" if reason else ""),
    )
