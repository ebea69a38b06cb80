"""ScriptedSource: a list of inputs with crashes in it, so that crash-and-resume is one line."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

from perdure.connectors.base import Source, SourceItem
from perdure.errors import InputError

__all__ = ["CRASH", "Crash", "ScriptedSource"]


class _Sentinel(enum.Enum):
    CRASH = "CRASH"

    def __repr__(self) -> str:
        return self.value


CRASH: Final = _Sentinel.CRASH


class Crash(InputError):
    """The source has reached a `CRASH` of its script.

    It is an `InputError`, so the engine handles what came before, stops and raises it.
    """


class ScriptedSource(Source):
    """The values of a list; a `CRASH` among them stops the engine there, once.

    Reading the same source again passes over the crashes that have happened, so every run of the
    engine gets one crash further, and the last one comes to the end::

        source = ScriptedSource([1, 2, CRASH, 3])
        with pytest.raises(Crash):
            engine.run(agent, source, key=...)  # handles 1 and 2
        engine.run(agent, source, key=...)  # knows 1 and 2, handles 3

    A crash takes no position: the values are numbered as if it were not there.

    Attributes:
        crashes: Number of crashes that have happened so far.
    """

    def __init__(self, script: Iterable[Any], *, name: str = "scripted") -> None:
        """Take the script; nothing is read yet.

        Args:
            script: Inputs and `CRASH`es, in order.
            name: The source's name in its job.
        """
        self.name = name
        self.crashes = 0
        self._script = tuple(script)

    async def open(self) -> AsyncGenerator[SourceItem, None]:
        """Read the script from its start, up to the first crash that has not happened yet.

        Raises:
            Crash: That crash was reached; the next reading goes on after it.
        """
        position = passed = 0
        for item in self._script:
            if item is not CRASH:
                yield SourceItem(position, item)
                position += 1
            elif passed < self.crashes:
                passed += 1
            else:
                self.crashes += 1
                raise Crash(
                    f"source {self.name!r} crashed before input {position}, as its script says:"
                    " run the job again to go on after it"
                )
