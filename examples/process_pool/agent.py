"""Computing in Python on all cores: a durable call whose work is done in a process pool.

`python agent.py [STORE]` counts the primes of some ranges; the same again resumes.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunnerContext, action

WORKERS = 2
PART = 20_000  # numbers that one call looks at
RANGES: list[dict[str, Any]] = [{"name": "low", "end": 200_000}, {"name": "high", "end": 300_000}]


def count_in_worker(begin: int, end: int) -> int:
    """Count the primes in [begin, end), in a worker; it knows nothing of perdure."""
    if log := os.environ.get("PRIMES_LOG"):
        with Path(log).open("a") as file:
            file.write(f"{begin}\n")
    return sum(
        number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        for number in range(begin, end)
    )


def end_with_parent() -> None:
    """Have a worker end when its parent is gone: killed, that cannot tell it to."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@functools.cache
def pool() -> ProcessPoolExecutor:
    """Return the pool of this process; its workers start when they are needed."""
    return ProcessPoolExecutor(WORKERS, initializer=end_with_parent)


async def count(begin: int, end: int) -> int:
    """Count the primes in [begin, end): the durable call, which waits for a worker."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool(), count_in_worker, begin, end)


class Primes(Agent):
    """Counts primes part by part; a part that is in the journal is not counted again."""

    @action(InputEvent)
    async def add_up(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Have all parts counted at once, as far as there are workers, and add them up."""
        end = event.input["end"]
        waiting = ctx.with_options(limit="workers")
        parts = [
            waiting.durable_execute_async(count, begin, min(begin + PART, end))
            for begin in range(0, end, PART)
        ]
        found = await asyncio.gather(*parts)
        ctx.send_event(OutputEvent(output={"name": event.input["name"], "primes": sum(found)}))


def main() -> None:
    """Count, and say what was found."""
    store = sys.argv[1] if len(sys.argv) > 1 else "memory://"
    # No more calls under way than workers: those are what a crash makes again.
    config = {"limits": {"workers": {"concurrency": WORKERS}}}
    engine = LocalEngine(store=store, job="primes", config=config)
    for output in engine.run(Primes(), RANGES, key="name"):
        print(f"{output.value['name']}: {output.value['primes']:,} primes")


if __name__ == "__main__":
    main()
