"""Visits: what is remembered of a key, of one input, and of a text for long."""

from __future__ import annotations

from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.memory_object import MemoryObject
from flink_agents.api.memory_reference import MemoryRef
from flink_agents.api.runner_context import RunnerContext


class VisitAgent(Agent):
    """Counts visits of each key, and hands what was said on by reference."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def come(event: Event, ctx: RunnerContext) -> None:
        said = InputEvent.from_event(event).input
        short = ctx.short_term_memory
        visits = (short.get("visits.count") or 0) + 1
        short.set("visits.count", visits)
        if not short.is_exist("visits.first"):
            short.set("visits.first", said)
        seen = short.get("visits")
        assert isinstance(seen, MemoryObject)
        seen.set("words", {**(seen.get("words") or {}), said: len(said)})
        said_ref = ctx.sensory_memory.set("said.now", said)
        assert ctx.sensory_memory.get("said.before") is None  # of one input alone
        ctx.sensory_memory.set("said.before", said)
        ctx.send_event(Event(type="heard", attributes={"ref": said_ref}))

    @action("heard")
    @staticmethod
    def tell(event: Event, ctx: RunnerContext) -> None:
        ref = MemoryRef.model_validate(event.get_attr("ref"))
        visits = ctx.short_term_memory.get("visits")
        notes = ctx.long_term_memory.get_memory_set(f"notes of {ctx.key}")
        notes.add(str(ref.resolve(ctx)), {"visit": visits.get("count")})
        found = notes.search("tea", 1)
        ctx.agent_metric_group.get_counter("visits").inc()
        ctx.send_event(
            OutputEvent(
                output={
                    "said": ctx.sensory_memory.get(ref),
                    "first": visits.get("first"),
                    "count": visits.get("count"),
                    "fields": sorted(visits.get_field_names()),
                    "words": visits.get("words"),
                    "notes": len(notes.get()),
                    "best": [each.value for each in found],
                }
            )
        )


INPUTS: list[dict[str, Any]] = [
    {"key": "ann", "value": "a cup of tea"},
    {"key": "ben", "value": "cake"},
    {"key": "ann", "value": "milk"},
]


def _told(said: str, first: str, words: dict[str, int], *best: str) -> dict[str, Any]:
    return {
        "said": said,
        "first": first,
        "count": len(words),
        "fields": ["count", "first", "words"],
        "words": words,
        "notes": len(words),
        "best": list(best),
    }


OUTPUTS: list[dict[Any, Any]] = [
    {"ann": _told("a cup of tea", "a cup of tea", {"a cup of tea": 12}, "a cup of tea")},
    {"ben": _told("cake", "cake", {"cake": 4})},
    {"ann": _told("milk", "a cup of tea", {"a cup of tea": 12, "milk": 4}, "a cup of tea")},
]
CALLS: list[str] = []


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(VisitAgent()).to_list()
    env.execute("visits")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
