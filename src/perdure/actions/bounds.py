"""What bounds the durable calls of the built-in actions, and whose failure a failure is."""

from __future__ import annotations

from perdure.call import RetryPolicy
from perdure.config.configuration import ConfigOption
from perdure.context import RunnerContext
from perdure.errors import DurableCallError, PerdureError, RetryableError, TerminalError

__all__ = ["bounded", "is_of_the_callee"]


def bounded(
    ctx: RunnerContext,
    durable_id: str,
    toggle: ConfigOption[bool],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    limit: str | None = None,
) -> RunnerContext:
    """Return the context for one call of a built-in action.

    Args:
        ctx: the context of the action.
        durable_id: the call's name in the journal.
        toggle: where it is off, calls of its sort go one at a time, by the limit of its name.
        timeout: seconds for one attempt; None: as configured.
        retry: when a failed attempt is followed by another; None: as configured.
        limit: a configured limit that it counts under as well.
    """
    limits = () if ctx.config.get(toggle) else (toggle.name,)
    return ctx.with_options(
        timeout=timeout,
        retry=retry,
        limit=(limits if limit is None else (*limits, limit)) or None,
        durable_id=durable_id,
    )


def is_of_the_callee(error: Exception, *more: type[PerdureError]) -> bool:
    """Say whether what was called has failed, and not the runtime around it.

    Args:
        error: what a durable call raised.
        more: further errors of perdure's that what was called may raise.
    """
    own = (RetryableError, TerminalError, DurableCallError, *more)
    return isinstance(error, own) or not isinstance(error, PerdureError)
