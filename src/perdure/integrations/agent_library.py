"""What the integrations of agent libraries share: options of their durable calls."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar, TypedDict, cast

from perdure.call import RetryPolicy
from perdure.codec.types import GLOBAL_TYPES
from perdure.context import RunnerContext
from perdure.errors import ConfigurationError

__all__ = [
    "ANY_TOOL",
    "CallSettings",
    "HostCall",
    "LibraryCalls",
    "check_context",
    "checked_settings",
    "know_types",
    "settings_of",
]

ANY_TOOL = "*"
"""In `tool_options`: the tools that have no options of their own."""


class CallSettings(TypedDict, total=False):
    """Options of an agent's model requests or tool calls: those of `ctx.with_options`."""

    timeout: float | None
    retry: RetryPolicy | None
    limit: str | None
    reconciler: Callable[..., Any] | None


def checked_settings(what: str, settings: Mapping[str, Any] | None) -> CallSettings:
    """Return `settings` if each of them is an option of a durable call.

    Raises:
        ConfigurationError: one is not.
    """
    given = dict(settings or {})
    unknown = sorted(given.keys() - CallSettings.__annotations__.keys())
    if unknown:
        raise ConfigurationError(
            f"{what}: {unknown[0]!r} is no option of a durable call; there are"
            f" {', '.join(CallSettings.__annotations__)}"
        )
    return cast(CallSettings, given)


def check_context(what: str, ctx: Any) -> None:
    """Refuse what is no context of an action: the libraries' own calls take none.

    Raises:
        TypeError: it is none.
    """
    if not hasattr(ctx, "durable_execute_async"):
        raise TypeError(
            f"{what} takes the action's context first: {what}(ctx, ...), not {ctx!r:.60}"
        )


def settings_of(tools: Mapping[str, CallSettings], name: str) -> CallSettings:
    """Return the options of a tool: its own, else those of any."""
    found = tools.get(name)
    return found if found is not None else tools.get(ANY_TOOL, CallSettings())


def know_types(annotations: Iterable[Any]) -> None:
    """Let all jobs of this process journal and rebuild what an agent's types name.

    Called where the agent is made durable, as its module is imported: what it gave may be read
    back by a process that has not run it yet.
    """
    for annotation in annotations:
        GLOBAL_TYPES.register_annotation(annotation)


class HostCall:
    """A durable callable that makes a coroutine on the host loop, in given context variables.

    The agent loop sets context variables in the action that must not reach the outside, such as
    "use no threads".

    Args:
        body: makes the coroutine; called once an attempt.
        variables: what each attempt runs in a copy of.
        types: a function whose annotations name the types that the result may hold.
        digested_parts: what a digest among the arguments was made of, by name: a divergence says
            which of them differ.
    """

    shares_arguments = True  # they are there for the journal: nobody needs their own

    def __init__(
        self,
        body: Callable[[], Coroutine[Any, Any, Any]],
        variables: contextvars.Context,
        types: Callable[..., Any] | None = None,
        digested_parts: Mapping[str, Any] | None = None,
    ) -> None:
        self._body = body
        self._variables = variables
        self.digested_parts = digested_parts
        if types is not None:
            self.__wrapped__ = types

    async def __call__(self, *_args: Any) -> Any:
        """Run one attempt; the arguments are only there for the journal."""
        loop = asyncio.get_running_loop()
        return await loop.create_task(self._body(), context=self._variables.copy())


class LibraryCalls:
    """The durable calls of one run of a library's agent.

    Owns: the loop it belongs to. Lifecycle: one run of the agent. `inside` tells the action from
    what runs outside of it: an agent inside a tool uses the models as they are.

    Args:
        ctx: the action's context.
        name: the agent's name in the journal.
        model_options: options of its model requests.
        tool_options: options of its tool calls, by the tool's name.
        variables: what runs on the host loop runs in a copy of these.
    """

    LIBRARY: ClassVar[str]

    def __init__(
        self,
        ctx: RunnerContext,
        name: str,
        *,
        model_options: CallSettings,
        tool_options: Mapping[str, CallSettings],
        variables: contextvars.Context,
    ) -> None:
        self.ctx = ctx
        self.name = name
        self._model_options = model_options
        self._tool_options = tool_options
        self._variables = variables
        self._loop = asyncio.get_running_loop()

    @property
    def inside(self) -> bool:
        """True for code that runs on the action's loop."""
        return self._loop.is_running()

    async def _make(
        self, what: str, settings: CallSettings, call: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        ctx = self.ctx.with_options(**settings, durable_id=f"{self.LIBRARY}:{self.name}:{what}")
        return await ctx.durable_execute_async(call, *args)

    def on_host(
        self,
        body: Callable[[], Coroutine[Any, Any, Any]],
        parts: Mapping[str, Any] | None = None,
    ) -> HostCall:
        """Return a callable that runs `body` on the host loop, with the host's variables."""
        return HostCall(body, self._variables, digested_parts=parts)
