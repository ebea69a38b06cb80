"""Many seeds of random agents, on several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import NamedTuple

from perdure.testing.simulation.programs import make_program
from perdure.testing.simulation.random_agents import EXPECTED, script_of
from perdure.testing.simulation.simulate import SimulationFailed, check, quiet

__all__ = ["SeedResult", "run_seed", "run_seeds"]


class SeedResult(NamedTuple):
    """What came of one seed: how many crashes were simulated, and what failed or ""."""

    seed: int
    crashes: int
    failure: str


def run_seed(seed: int) -> SeedResult:
    """Simulate the random agent of one seed, without a crash and after every commit."""
    program = make_program(seed)
    try:
        with quiet():
            return SeedResult(seed, check(script_of(program), expected=[EXPECTED]), "")
    except SimulationFailed as failed:
        again = f"to repeat: python -m perdure.testing.simulation --first {seed} --seeds 1"
        return SeedResult(seed, max([0, *failed.crashes]), f"{failed}\n{program}\n{again}")


def run_seeds(first: int, count: int, jobs: int = 2) -> Iterator[SeedResult]:
    """Yield what `run_seed` returns for `count` seeds, on `jobs` processes, in any order."""
    seeds = range(first, first + count)
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    # Not forked: the process may have threads.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=8)
