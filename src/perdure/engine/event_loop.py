"""The event loop of those who bring none: `LocalEngine.run` and `perdure run`."""

from __future__ import annotations

import asyncio
import sys

from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.errors import ConfigurationError, missing_extra


def runner_of(config: Configuration) -> asyncio.Runner:
    """Return what runs one coroutine to its end as `asyncio.run` does, on the configured loop.

    Raises:
        ConfigurationError: it is to be uvloop, which is not installed.
    """
    wanted = config.get(AgentExecutionOptions.EVENT_LOOP)
    if wanted == "asyncio":
        return asyncio.Runner()
    try:
        import uvloop
    except ImportError as error:
        if wanted == "auto":
            return asyncio.Runner()
        what = "event-loop: uvloop"
        if sys.platform == "win32":
            raise ConfigurationError(
                f"{what}: there is no uvloop for Windows: set it to auto or asyncio"
            ) from None
        raise missing_extra(what, "uvloop", error) from None
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
