"""From an agent to the plan that a job runs: what every engine does with it first."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from perdure.actions.builtin import BUILTIN, builtin_resources, check_named_resources
from perdure.actions.run_begin import with_run_begin
from perdure.agent.declaration import Agent
from perdure.agent.plan import AgentPlan
from perdure.agent.resources import ResourceSpec
from perdure.config.configuration import Configuration
from perdure.printable import printable_logger

logger = printable_logger("perdure")

AnyAgent = Agent | type[Agent] | Callable[[], Agent]


def plan_of(
    agent: AnyAgent, config: Configuration, resources: Iterable[ResourceSpec] = ()
) -> AgentPlan:
    """Compile an agent, with the built-in actions and what the engine adds to it.

    Args:
        agent: the agent, its class or a function that makes it.
        config: the job's configuration.
        resources: those of the engine; the agent's own win over them.

    Returns:
        The plan. An agent that no input can trigger is warned about.

    Raises:
        AgentDefinitionError: the agent has no actions, or its parts contradict each other.
        ConfigurationError: an option names a resource that is not declared.
    """
    added = [*resources, *builtin_resources(config)]
    plan = AgentPlan.from_agent(agent, builtin=BUILTIN, resources=added)
    plan = with_run_begin(plan, config)
    check_named_resources(config, plan)
    if not plan.takes_inputs:
        logger.warning(
            "%s: no action is triggered by an input: its runs end without doing anything; name"
            " InputEvent in an @action",
            plan.name,
        )
    return plan
