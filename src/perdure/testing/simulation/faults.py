"""One seed of a job in a bad world: crashed after every commit, and now and then left down."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from perdure.agent.plan import AgentPlan
from perdure.codec.codec import Codec
from perdure.memory.memory import MemoryRef
from perdure.testing.simulation.calls import UNIT, Outside
from perdure.testing.simulation.fault_lives import BEGIN, Lived, Past, Setting, folder, go_on
from perdure.testing.simulation.fault_oracle import Oracle
from perdure.testing.simulation.fault_programs import FaultProgram
from perdure.testing.simulation.loop import Moment
from perdure.testing.simulation.random_faults import make_fault_agent
from perdure.testing.simulation.simulate import REPEATED, failure_of

DOWN = (1_000, 1_000, 3 * UNIT, 40 * UNIT, 7_500 * UNIT)  # ns that nothing runs after a crash


def check_faults(program: FaultProgram) -> int:
    """Run one seed without a crash and with a crash after every commit, and some with several.

    Returns:
        The number of crashes.

    Raises:
        SimulationFailed: something is not right.
    """
    with tempfile.TemporaryDirectory(prefix="perdure-simulation-", dir=folder()) as place:
        plan = AgentPlan.from_agent(make_fault_agent(program))
        output = Path(place) / "outputs.jsonl"
        return _Check(Setting(program, plan, Outside(program.seed), output)).all()


class _Check:
    """The lives of one seed."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._codec = Codec()
        for annotated in (*setting.plan.annotated_types, MemoryRef):
            self._codec.registry.register_annotation(annotated)
        self._chance = random.Random(f"crashes {setting.program.seed}")

    def all(self) -> int:
        """Run all lives; return how many crashes there were."""
        reference = self._life(Past(), BEGIN)
        commits = len(reference.past.batches)
        for after in range(1, commits + 1):
            self._crash(reference, after)
        life, crashes = reference, 0
        after = 0
        while after < len(life.past.batches) and crashes < REPEATED:
            after = min(after + self._chance.randint(1, 4), len(life.past.batches))
            life = self._crash(life, after)
            crashes += 1
        return commits + crashes

    def _crash(self, before: Lived, after: int) -> Lived:
        past = before.past.until(after, late=self._chance.random() < 0.5)
        start = Moment(past.spans[-1][1] + self._chance.choice(DOWN))
        return self._life(past, start)

    def _life(self, past: Past, start: Moment) -> Lived:
        lived = go_on(self._setting, past, start)
        found = list(Oracle(self._setting.program, lived, self._codec).wrong())
        if found:
            batches, crashes = lived.past.batches, lived.past.crashes
            raise failure_of(self._setting.program.seed, crashes, batches, found)
        return lived


__all__: Sequence[str] = ["check_faults"]
