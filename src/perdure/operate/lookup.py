"""Runs and outputs by what a program knows of them. Coroutine functions over an `AsyncHistory`."""

from __future__ import annotations

import functools
from collections.abc import Collection

from perdure.codec.digests import stored_ids_of_text
from perdure.errors import RunNotFoundError
from perdure.operate.history import AsyncHistory, all_of
from perdure.run import Output, RunInfo, given_with, run_id, run_number
from perdure.store.base import JobRow

__all__ = ["given_to_others", "outputs_of", "run_numbered", "run_of_input"]


async def run_of_input(history: AsyncHistory, job: JobRow, id_: str) -> RunInfo:
    """Return the run whose input was given with an id, whatever run has it as its own.

    Raises:
        RunNotFoundError: there is none.
        PerdureError: there are two, one of a text and one of a number.
    """
    stored = stored_ids_of_text(id_)
    found = await history.view.runs_of_inputs(job.job, stored)
    if (number := given_with(id_, map(found.get, stored))) is not None:
        return await run_numbered(history, job, number)
    raise RunNotFoundError(f"job {job.title!r} has no run whose input was given with id {id_!r}")


async def given_to_others(
    history: AsyncHistory, job: JobRow, runs: Collection[str]
) -> frozenset[str]:
    """Return those of these own ids that were given with the inputs of other runs."""
    stored = {run: stored_ids_of_text(run) for run in runs}
    asked = {each for ids in stored.values() for each in ids}
    found = await history.view.runs_of_inputs(job.job, asked)
    return frozenset(
        run
        for run, ids in stored.items()
        if {found[each] for each in ids if each in found} - {run_number(job.job, run)}
    )


async def run_numbered(history: AsyncHistory, job: JobRow, number: int) -> RunInfo:
    """Return the run with a number in the store, as listings have it.

    Raises:
        RunNotFoundError: there is none.
    """
    info = (await history.infos([number])).get(number)
    if info is None:
        raise RunNotFoundError(f"job {job.title!r} has no run {run_id(number)!r} any more")
    return info


async def outputs_of(history: AsyncHistory, job: JobRow, run: int) -> list[Output]:
    """Return all recorded outputs of the run with a number, in the order of their commits."""
    return await all_of(functools.partial(history.outputs_page, job, run=run))
