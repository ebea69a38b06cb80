"""A job's present generation is brought to its end, before another may begin."""

from __future__ import annotations

from perdure.agent.plan import AgentPlan
from perdure.config.configuration import Configuration
from perdure.connectors.base import Sink
from perdure.engine.open_job import OpenJob
from perdure.errors import StoreError
from perdure.printable import printable_logger
from perdure.store.base import ActionStateStore
from perdure.store.generations import unfinished

logger = printable_logger("perdure")


async def end_generation(
    store: ActionStateStore,
    job: str,
    plan: AgentPlan,
    config: Configuration,
    sink: Sink | None,
    *,
    abandon: bool,
) -> None:
    """Deliver what the present generation of a job has not delivered; nothing of it is run.

    Args:
        store: where the job is; not open.
        job: its name.
        plan: the agent.
        config: its configuration.
        sink: where outputs go, if anywhere; without one they stay undelivered.
        abandon: cancel what is unfinished.

    Raises:
        StoreError: another process owns the job, or it has unfinished runs.
        SinkError: the sink refuses an output.
    """
    held = OpenJob(store, job, plan, config, sink, holds=True)
    await held.open()
    try:
        counts = held.progress
        left = counts.in_flight + counts.waiting + counts.queued
        if left and not abandon:
            raise StoreError(unfinished(job, left))
        if left:
            count = await held.until_stopped(held.runtime.cancel_all())
            logger.warning("job %r: %d unfinished runs were cancelled (abandoned)", job, count)
        await held.deliver()
        if sink is None and (outputs := len(await store.undelivered())):
            logger.warning(
                "job %r: %d outputs were never delivered, and there is no sink to deliver them to:"
                " they stay with what was before (perdure outputs)",
                job, outputs,
            )  # fmt: skip
    finally:
        await held.close()
