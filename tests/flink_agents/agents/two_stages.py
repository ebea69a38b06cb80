"""Two stages: what one agent puts out is what the next one gets, each a job of its own."""

from __future__ import annotations

from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from pydantic import BaseModel
from tests.flink_agents.agents.witness import called


class Review(BaseModel):
    product: str
    stars: int


class Summary(BaseModel):
    product: str
    stars: list[int]
    advice: str = ""


def judged(stars: list[int]) -> str:
    called(f"judge {stars}")
    return "keep" if sum(stars) >= 3 * len(stars) else "look into"


class CollectingAgent(Agent):
    """Collects the stars of each product, and puts out what there is after each review."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def collect(event: Event, ctx: RunnerContext) -> None:
        review: Review = InputEvent.from_event(event).input
        stars = [*(ctx.short_term_memory.get("stars") or []), review.stars]
        ctx.short_term_memory.set("stars", stars)
        ctx.send_event(OutputEvent(output=Summary(product=ctx.key, stars=stars)))


class AdvisingAgent(Agent):
    """Advises on what was collected."""

    def __init__(self) -> None:
        super().__init__()
        self.add_action("advise", [InputEvent.EVENT_TYPE], self.advise, least=2)

    @staticmethod
    async def advise(event: Event, ctx: RunnerContext) -> None:
        summary: Summary = InputEvent.from_event(event).input
        if len(summary.stars) < ctx.get_action_config_value("least"):
            return
        advice = await ctx.durable_execute_async(judged, summary.stars)
        ctx.send_event(OutputEvent(output=summary.model_copy(update={"advice": advice})))


INPUTS: list[dict[str, Any]] = [
    {"key": product, "value": Review(product=product, stars=stars)}
    for product, stars in (("tea", 5), ("pot", 1), ("tea", 4), ("pot", 2))
]
OUTPUTS: list[dict[Any, Any]] = [
    {"tea": Summary(product="tea", stars=[5, 4], advice="keep")},
    {"pot": Summary(product="pot", stars=[1, 2], advice="look into")},
]
CALLS = ["judge [5, 4]", "judge [1, 2]"]


def main() -> list[dict[Any, Any]]:
    found: list[dict[Any, Any]] = INPUTS
    for stage, agent in (("collecting", CollectingAgent()), ("advising", AdvisingAgent())):
        env = AgentsExecutionEnvironment.get_execution_environment()
        if stage == "advising":
            found = [{"key": key, "value": value} for each in found for key, value in each.items()]
        outputs = env.from_list(found).apply(agent).to_list()
        env.execute(stage)
        found = outputs
    return found


if __name__ == "__main__":
    for output in main():
        print(output)
