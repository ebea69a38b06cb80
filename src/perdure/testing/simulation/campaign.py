"""Many seeds of random agents, on several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import NamedTuple

from perdure.testing.simulation.chat_programs import make_chats
from perdure.testing.simulation.fault_programs import make_faults
from perdure.testing.simulation.faults import check_faults
from perdure.testing.simulation.programs import make_program
from perdure.testing.simulation.random_agents import EXPECTED, script_of
from perdure.testing.simulation.random_chats import (
    EXPECTED_OF_CHATS,
    chat_invariant,
    chats_script_of,
)
from perdure.testing.simulation.rule_programs import check_rules, make_rules
from perdure.testing.simulation.simulate import SimulationFailed, check, quiet

__all__ = ["SeedResult", "run_chats", "run_faults", "run_rules", "run_seed", "run_seeds"]


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
        return _failed(seed, failed, program, "calls")


def run_chats(seed: int) -> SeedResult:
    """Simulate the random agent with models of one seed, likewise."""
    program = make_chats(seed)
    try:
        with quiet():
            crashes = check(
                chats_script_of(program),
                expected=EXPECTED_OF_CHATS,
                invariant=chat_invariant(program),
            )
            return SeedResult(seed, crashes, "")
    except SimulationFailed as failed:
        return _failed(seed, failed, program, "chats")


def run_faults(seed: int) -> SeedResult:
    """Simulate the random job in a bad world of one seed, likewise."""
    program = make_faults(seed)
    try:
        with quiet():
            return SeedResult(seed, check_faults(program), "")
    except SimulationFailed as failed:
        return _failed(seed, failed, program, "faults")


def run_rules(seed: int) -> SeedResult:
    """Simulate the random agent of one seed, begun by the rules of before and upgraded since."""
    program = make_rules(seed)
    try:
        with quiet():
            return SeedResult(seed, check_rules(program), "")
    except SimulationFailed as failed:
        return _failed(seed, failed, program, "rules")


def _failed(seed: int, failed: SimulationFailed, program: object, kind: str) -> SeedResult:
    again = f"python -m perdure.testing.simulation --only {kind} --first {seed} --seeds 1"
    text = f"{failed}\n{program}\nto repeat: {again}"
    return SeedResult(seed, max([0, *failed.crashes]), text)


RUNS = {"calls": run_seed, "chats": run_chats, "faults": run_faults, "rules": run_rules}


def run_seeds(first: int, count: int, jobs: int = 2, kind: str = "calls") -> Iterator[SeedResult]:
    """Yield what came of `count` seeds, on `jobs` processes, in any order.

    Args:
        first: the first seed.
        count: how many.
        jobs: processes.
        kind: "calls": random durable calls and memory; "chats": random chats, tools and memory;
            "faults": random jobs whose store fails, with schedules, signals and a sink;
            "rules": random calls and memory, begun by the rules of before and upgraded since.
    """
    seeds = range(first, first + count)
    if jobs == 1:
        yield from map(RUNS[kind], seeds)
        return
    # Not forked: the process may have threads.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(RUNS[kind], seeds, chunksize=8)
