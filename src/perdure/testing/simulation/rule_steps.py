"""RuleSteps: what actions do whose outcome depends on the rules that they are run by."""

from __future__ import annotations

from typing import Any

from perdure.context import RunnerContext
from perdure.event import Event, OutputEvent
from perdure.memory.memory import MemoryObject

NOTED = "noted"  # the type of events that no action takes
ELSEWHERE = Event(type=NOTED)  # made in no action, and sent by many


class RuleSteps:
    """Steps that take no time, and note what they see: an oracle knows what is right.

    Owns: the events made, what was noted.
    """

    def __init__(self, name: str, ctx: RunnerContext) -> None:
        self.ctx = ctx
        self.noted: list[list[Any]] = []
        self._place = f"over.{name}"
        self._made: list[Event] = []

    def see(self, *values: object) -> None:
        """Add to what was seen."""
        raise NotImplementedError

    def make_event(self, output: bool) -> None:
        """Make an event, and look at its id long before it is sent, if ever."""
        made = OutputEvent(output=NOTED) if output else Event(type=NOTED)
        self._made.append(made)
        self._note("make", output, made.id)

    def send_made(self, which: int) -> None:
        """Send an event that was made here, perhaps again, or one that was made elsewhere."""
        place = which % (len(self._made) + 1) - 1
        event = ELSEWHERE if place < 0 else self._made[place]
        self.ctx.send_event(event)
        self._note("send", place, event.id)

    def write_over(self, how: str, overwrite: bool, sensory: bool) -> None:
        """Write to a place of the action's own, whatever is there."""
        memory = self.ctx.sensory_memory if sensory else self.ctx.short_term_memory
        place, there = self._place, _what(memory.get(self._place))
        try:
            if how == "set":
                memory.set(place, NOTED, overwrite=overwrite)
            elif how == "object":
                memory.new_object(place, overwrite=overwrite)
            elif how == "below":
                memory.set(f"{place}.below", NOTED, overwrite=overwrite)
            else:
                memory.update(f"{place}.below", lambda _: NOTED)
            outcome = "written"
        except ValueError:
            outcome = "refused"
        self._note("write", how, overwrite, there, outcome, _what(memory.get(place)))

    def _note(self, *noted: Any) -> None:
        self.noted.append(list(noted))
        self.see(*noted)


def _what(found: Any) -> str:
    if found is None:
        return "nothing"
    return "object" if isinstance(found, MemoryObject) else "value"
