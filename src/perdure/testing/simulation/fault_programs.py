"""Random programs for jobs in a bad world: what they do, and what befalls their store.

An action takes its steps one after the other, and each step is settled once. So what it must have
seen follows from its journal, and what the journal may say from the program and from what happened:
`fault_oracle` says what is right, where two lives may by right come to different results.
"""

from __future__ import annotations

import itertools
import random
from typing import Any, NamedTuple

from perdure.testing.simulation.calls import UNIT
from perdure.testing.simulation.programs import SECONDS, ActionProgram, Step

START = 57.0  # seconds after a full minute: the first tick is three seconds off
INBOX = 32  # units: longer than the owner of a job looks for commands at most
TICKING = 90.0  # seconds after the start at which a job with a schedule is let end
WEIGHTS = {
    "call": 3, "retry": 2, "counted": 4, "asked": 2, "rated": 4, "limited": 1, "sleep": 2,
    "answer": 4, "update": 2,
}  # fmt: skip


class Sending(NamedTuple):
    """A signal that somebody sends.

    Attributes:
        position: of the run's input among the inputs.
        name: its name; there is one signal of each name for a run.
        at: when it is sent, ns after the start; later if the run comes later.
        from_outside: by another process, which leaves it in the inbox, also while no process runs
            the job.
    """

    position: int
    name: str
    at: int
    from_outside: bool


class Troubles(NamedTuple):
    """What befalls the commits of a job.

    Attributes:
        failing: the share of them that fail.
        unknown: the share of those that are written all the same.
        full: from when to when nothing can be written at all, ns after the start.
    """

    failing: float
    unknown: float
    full: tuple[tuple[int, int], ...]

    @property
    def any(self) -> bool:
        """True where a commit may fail."""
        return bool(self.failing or self.full)


class FaultProgram(NamedTuple):
    """A random job with all that befalls it, but for its crashes.

    Attributes:
        seed: of all that is drawn.
        config: the job's configuration.
        actions: what its agent does.
        inputs: keys and values, in order.
        arrivals: when each of them comes, ns after the start; ascending.
        sendings: the signals for their runs.
        troubles: what befalls its store.
        has_schedule: whether a schedule starts a run each minute.
    """

    seed: int
    config: dict[str, Any]
    actions: tuple[ActionProgram, ...]
    inputs: tuple[tuple[str, str], ...]
    arrivals: tuple[int, ...]
    sendings: tuple[Sending, ...]
    troubles: Troubles
    has_schedule: bool

    def __str__(self) -> str:
        lines = [f"config {self.config}, inputs {list(self.inputs)}, {self.troubles}"]
        lines.append(f"  inputs come at {self.arrivals}")
        if self.has_schedule:
            lines.append("  a run each minute")
        lines += [f"  {sending}" for sending in self.sendings]
        for action in self.actions:
            how = "async def" if action.is_coroutine else "def"
            lines.append(f"  on {action.trigger or 'input'}: {how} {action.name}:")
            lines += [f"    {step}" for step in action.steps]
        return "\n".join(lines)


def make_faults(seed: int) -> FaultProgram:
    """Return the program of a seed."""
    chance = random.Random(f"faults {seed}")
    config: dict[str, Any] = {
        "num-async-threads": 64,
        "max-runs-in-flight": chance.choice((1, 2, 1000)),
        "continuations": chance.choice(("auto", "auto", "off")),
        "limits.narrow.concurrency": 1,
        "limits.rated.rate": chance.choice(("1/s", "2/s", "2/3s")),
    }
    if chance.random() < 0.3:
        config["run-timeout"] = chance.choice((4, 8, 40)) * SECONDS
    first = _action(chance, "a", "", chance.choice((1, 2, 3, 4)))
    actions = [first]
    if chance.random() < 0.4:
        actions = [first._replace(sends="more", sends_count=1)]
        actions.append(_action(chance, "b", "more", chance.choice((1, 2))))
    inputs = tuple((f"k{chance.randrange(2)}", f"i{n}") for n in range(chance.choice((1, 2, 3))))
    sendings = tuple(
        Sending(position, step.args["name"], _when(chance, step), chance.random() < 0.6)
        for position in range(len(inputs))
        for action in actions
        for step in action.steps
        if step.op == "answer" and chance.random() < 0.8
    )
    # The source may be slow: what the store loses meanwhile must keep its place.
    arrivals = itertools.accumulate(
        chance.choice((0, 0, 1, 4, 80)) * UNIT + 7_001 for _ in range(len(inputs))
    )
    return FaultProgram(
        seed, config, tuple(actions), inputs, tuple(arrivals), sendings, _troubles(chance),
        chance.random() < 0.25,
    )  # fmt: skip


def _when(chance: random.Random, step: Step) -> int:
    """Return when a signal comes: often about when the wait for it ends, off the grid of calls."""
    units = chance.choice(
        (0, 2, step.args["units"] - 1, step.args["units"] + 1, chance.randrange(80))
    )
    return max(0, units) * UNIT + 100_003 + chance.randrange(1_000) * 1_009


def _troubles(chance: random.Random) -> Troubles:
    kind = chance.choice(("none", "failing", "full", "both"))
    failing = chance.choice((0.1, 0.3)) if kind in ("failing", "both") else 0.0
    full: list[tuple[int, int]] = []
    if kind in ("full", "both"):
        at = 0
        for _ in range(chance.choice((1, 2))):
            at += chance.randrange(0, 12) * UNIT
            end = at + chance.choice((1, 10, 400)) * UNIT
            full.append((at + 5_003, end + 5_003))
            at = end
    return Troubles(failing, chance.choice((0.0, 0.5, 1.0)), tuple(full))


def _action(chance: random.Random, name: str, trigger: str, count: int) -> ActionProgram:
    ops = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    steps = [_step(chance, op, f"{name}{n}") for n, op in enumerate(ops)]
    if chance.random() < 0.1:
        steps.append(Step("fail", {"plain": chance.random() < 0.5}))
    return ActionProgram(name, trigger, chance.random() < 0.6, tuple(steps), "", 0)


def _step(chance: random.Random, op: str, name: str) -> Step:
    plain = chance.random() < 0.4
    if op in ("asked", "rated", "limited"):
        return Step(op, {"plain": plain})
    if op == "call":
        return Step(op, {"plain": plain, "fails": chance.choice((0, 0, 99))})
    if op in ("retry", "counted"):
        attempts = chance.choice((1, 2, 3))
        return Step(
            op, {"plain": plain, "fails": chance.randint(0, attempts), "attempts": attempts}
        )
    if op == "sleep":
        return Step(op, {"units": chance.choice((1, 2, 70)), "asyncio": chance.random() < 0.5})
    if op == "answer":
        units = chance.choice((3, INBOX + 10, 90))
        return Step(op, {"name": name, "units": units, "asyncio": chance.random() < 0.5})
    return Step(op, {})
