"""What is said where a job was run again and there was nothing left to run."""

from __future__ import annotations

from perdure.connectors.base import Sink
from perdure.engine.files import is_same_file
from perdure.errors import StoreError
from perdure.operate.history import AsyncHistory
from perdure.operate.selection import selection_of
from perdure.store.base import ActionStateStore

__all__ = ["nothing_was_run"]


async def nothing_was_run(store: ActionStateStore, job: str, sink: Sink | None, inputs: int) -> str:
    """Return the line that says so, and where the outputs are.

    Args:
        store: the job's store.
        job: its name.
        sink: where its outputs go now, if anywhere.
        inputs: how many inputs there were, all finished before.
    """
    whose = f"all {inputs:,} inputs" if inputs > 1 else "its one input"
    said = f"job {job!r}: nothing was run: {whose} had been finished before, and "
    said += await _where(store, job, sink)
    return f"{said}; to run them anew: --fresh (fresh=True)"


async def _where(store: ActionStateStore, job: str, sink: Sink | None) -> str:
    """Say where the outputs are: they are delivered once, and not to another sink again."""
    if sink is None:
        return "the outputs are those of then"
    try:
        view = store.view()
    except StoreError:  # nobody can look into it
        return "the outputs are those of then"
    async with AsyncHistory(view) as history:
        files = await history.view.sink_files((await history.job(job)).job)
    places = [file.path for file in files]
    if sink.file is not None and places and all(is_same_file(sink.file, at) for at in places):
        return f"their outputs of then are in {sink.file}"
    went = f" to {', '.join(places)}" if places else ""
    chosen = selection_of(store.url, job)
    again = "" if chosen is None else f"; to get them again: perdure outputs{chosen}"
    return f"their outputs were delivered then{went}, and not again{again}"
