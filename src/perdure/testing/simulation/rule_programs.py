"""Random programs whose actions depend on the rules that they are run by, and their lives.

They are those of `programs`, with steps of `rule_steps` in between.
"""

from __future__ import annotations

import random
from typing import Any

from perdure.journal.record import RULES
from perdure.testing.simulation.calls import UNIT
from perdure.testing.simulation.lives import Script
from perdure.testing.simulation.programs import ActionProgram, Program, Step, make_program
from perdure.testing.simulation.random_agents import EXPECTED, script_of
from perdure.testing.simulation.rule_oracle import rule_invariant
from perdure.testing.simulation.simulate import Lives

BEFORE = None  # the rules from before they had numbers
TTL = "short-term-memory.state-ttl.ms"
UPDATES = "short-term-memory.state-ttl.update-type"
STEPS = ("make_event", "make_event", "send_made", "send_made")
UPGRADES = 8  # of one seed
WAYS = ("set", "object", "below", "update")


def make_rules(seed: int) -> Program:
    """Return the program of a seed."""
    program = make_program(seed)
    chance = random.Random(f"rules {seed}")
    actions = tuple(_with_steps(action, program.kind, chance) for action in program.actions)
    config, inputs = dict(program.config), program.inputs
    if _forgets(program) and chance.random() < 0.6:
        config[TTL] = chance.choice((2, 4, 8)) * UNIT // 1_000_000
        config[UPDATES] = chance.choice(("on-read-and-write", "on-create-and-write"))
        inputs = tuple(("k0", value) for _, value in inputs)
    return program._replace(actions=actions, config=config, inputs=inputs)


def _forgets(program: Program) -> bool:
    """Say whether memory may be forgotten: nothing but the actions themselves makes commits."""
    steps = {step.op for action in program.actions for step in action.steps}
    alone = not (program.signals or program.cancels or steps & {"signal", "maybe", "child"})
    return program.kind == "narrow" and alone


def _with_steps(action: ActionProgram, kind: str, chance: random.Random) -> ActionProgram:
    steps = list(action.steps)
    # Several of an action that follows may go on at once, and have one place to write to.
    ops = STEPS if kind == "wide" and action.trigger else (*STEPS, "write_over", "write_over")
    for _ in range(chance.choice((1, 2, 3, 4))):
        # Not before its first step: an action of which nothing is recorded starts anew.
        steps.insert(chance.randint(1, len(steps)), _step(chance, chance.choice(ops)))
    if any(step.op == "fail" for step in steps):
        # What a retry keeps depends on the rules, too.
        call = Step("call", {"plain": chance.random() < 0.4, "fails": 0})
        steps[1:1] = [Step("make_event", {"output": False}), call]
    return action._replace(steps=tuple(steps))


def _step(chance: random.Random, op: str) -> Step:
    args: dict[str, Any] = {}
    if op == "make_event":
        args = {"output": chance.random() < 0.3}
    elif op == "send_made":
        args = {"which": chance.randrange(4)}
    else:
        how = chance.choice(WAYS)
        args = {"how": how, "overwrite": how != "update" and chance.random() < 0.2,
                "sensory": chance.random() < 0.3}  # fmt: skip
    return Step(op, args)


def rules_script_of(program: Program) -> Script:
    """Return what is simulated for `program`, by the rules of before."""
    script = script_of(program)._replace(rules=BEFORE)
    if TTL in program.config:  # what comes later makes commits, too
        script = script._replace(arrivals=[0] * len(program.inputs))
    return script


def check_rules(program: Program) -> int:
    """Run one seed by the rules of before, upgraded after some commits, with crashes on both sides.

    Returns:
        The number of crashes.

    Raises:
        SimulationFailed: something is not right.
    """
    chance = random.Random(f"upgrades {program.seed}")
    lives = Lives(rules_script_of(program), expected=[EXPECTED], invariant=rule_invariant(program))
    reference = old = lives.first()
    crashed = chance.randint(0, len(reference.batches))
    if crashed:
        old = lives.crash(reference, crashed)
    crashes = min(crashed, 1)
    # An action of which nothing is recorded begins anew: its child may get another input, and so
    # be another run than the one that it had just started.
    alike = not any(step.op == "child" for action in program.actions for step in action.steps)
    commits = range(1, len(old.batches) + 1)
    for after in sorted(chance.sample(commits, min(UPGRADES, len(commits)))):
        before = old if after > crashed else reference
        new = lives.upgrade(before, after, RULES, alike=alike)
        crashes += 1
        if after < len(new.batches):
            lives.crash(new, chance.randint(after + 1, len(new.batches)))
            crashes += 1
    return crashes
