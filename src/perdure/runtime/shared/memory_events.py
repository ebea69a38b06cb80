"""Which memory events a job makes."""

from __future__ import annotations

from typing import Final

from perdure.agent.memory_events import (
    MEMORY_EVENTS,
    LongTermGetEvent,
    LongTermSearchEvent,
    LongTermUpdateEvent,
    MemoryEvent,
    SensoryReadEvent,
    SensoryWriteEvent,
    ShortTermReadEvent,
    ShortTermWriteEvent,
)
from perdure.agent.plan import AgentPlan
from perdure.config.configuration import AgentExecutionOptions as Options
from perdure.config.configuration import ConfigOption, Configuration

# By class: its switch, and whether it is on where nothing is set.
_SWITCHES: Final[dict[type[MemoryEvent], tuple[ConfigOption[bool], bool]]] = {
    ShortTermWriteEvent: (Options.MEMORY_GENERATE_EVENT_SHORT_TERM_WRITE, True),
    ShortTermReadEvent: (Options.MEMORY_GENERATE_EVENT_SHORT_TERM_READ, False),
    SensoryWriteEvent: (Options.MEMORY_GENERATE_EVENT_SENSORY_WRITE, True),
    SensoryReadEvent: (Options.MEMORY_GENERATE_EVENT_SENSORY_READ, False),
    LongTermUpdateEvent: (Options.MEMORY_GENERATE_EVENT_LONG_TERM_UPDATE, True),
    LongTermGetEvent: (Options.MEMORY_GENERATE_EVENT_LONG_TERM_GET, True),
    LongTermSearchEvent: (Options.MEMORY_GENERATE_EVENT_LONG_TERM_SEARCH, True),
}


def memory_events(plan: AgentPlan, config: Configuration) -> frozenset[str]:
    """Return the types of the memory events that are on and that an action is for."""
    return frozenset(
        event_type
        for event_type, cls in MEMORY_EVENTS.items()
        if plan.names_type(event_type) and _is_on(cls, config)
    )


def notes_long_term(event_types: frozenset[str]) -> bool:
    """Say whether any of them is about long-term memory."""
    classes = (LongTermUpdateEvent, LongTermGetEvent, LongTermSearchEvent)
    return any(each.EVENT_TYPE in event_types for each in classes)


def _is_on(event: type[MemoryEvent], config: Configuration) -> bool:
    own, default = _SWITCHES[event]
    for option in (own, Options.MEMORY_GENERATE_EVENT):
        said: bool | None = config.get(option)
        if said is not None:
            return said
    return default
