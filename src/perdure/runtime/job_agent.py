"""What is said of a job when it opens: its agent or its code is another, or it begins anew."""

from __future__ import annotations

from perdure.agent.plan import AgentPlan
from perdure.codec.types import TypeRegistry
from perdure.memory.memory import MemoryRef
from perdure.printable import printable_logger, shell_word
from perdure.run import Output
from perdure.store.base import ActionStateStore, JobAgent, JobInfo
from perdure.store.generations import title

logger = printable_logger("perdure")


def agent_of(plan: AgentPlan) -> JobAgent:
    """Return what a job is to record of its agent; reads the files of the agent's own modules."""
    return JobAgent(name=plan.known_as, source=plan.source_digest())


def say_what_changed(job: str, before: JobAgent | None, now: JobAgent) -> None:
    """Say that a job has another agent than when it was last open, or that its code is another.

    Once a change: the store has recorded `now`.
    """
    if before is None:
        return
    if before.name != now.name:
        logger.warning(
            "job %r was agent %s's and is now run by agent %s: what %s has finished is not run"
            " again, and what it has not goes on with %s; give each agent a job of its own (--job,"
            " job=)",
            job, before.name, now.name, before.name, now.name,
        )  # fmt: skip
    elif before.source and now.source and before.source != now.source:
        logger.warning(
            "job %r: the code of agent %s has changed since the job was last open: finished inputs"
            " are not run again, and unfinished ones go on with it",
            job, now.name,
        )  # fmt: skip


def say_what_began(job: str, generation: int) -> None:
    """Say that a generation of a job begins; of the first there is nothing to say."""
    if generation > 1:
        logger.warning(
            "job %r begins anew as generation %d, with empty memory and documents; what was before"
            " is kept and can be looked at: --job %s",
            job, generation, shell_word(title(job, generation - 1)),
        )  # fmt: skip


def know_types(registry: TypeRegistry, plan: AgentPlan) -> None:
    """Let a job's codec know the types that its agent names, and those that every agent has."""
    registry.know_modules(plan.modules)
    for annotated in (*plan.known_types, MemoryRef, Output):
        registry.register_annotation(annotated)
    if (on_use := plan.types_on_use) is not None:
        registry.know_on_use(on_use)


async def take_job(
    store: ActionStateStore, job: str, plan: AgentPlan | None, *, fresh: bool
) -> JobInfo:
    """Take a job in its store, and say what is not as it was there.

    Args:
        store: the store.
        job: the job's name.
        plan: its agent; None for whoever only looks at what is unfinished.
        fresh: begin another generation of it.
    """
    if plan is None:
        return await store.open(job)
    # Here, though it reads the agent's few files: a thread would be one of the host loop's own
    # pool, whose end wants another thread of a system that may give none.
    agent = agent_of(plan)
    info = await store.open(job, agent, fresh=fresh)
    if fresh:
        say_what_began(job, info.generation)
    else:
        say_what_changed(job, info.agent, agent)
    return info
