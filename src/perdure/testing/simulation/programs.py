"""Random programs for agents: what their actions do, as data that can be read and printed.

Three kinds, so that results may be compared whatever happened in between:

- *narrow*: one action of a run at a time. Everything is allowed.
- *wide*: several actions of a run at once. They read of memory only what they wrote themselves, and
  begin with a call, since an action with nothing recorded starts anew after a crash.
- *loose*: narrow, with something that by right takes place at another time after a crash (a call's
  own timeout, the pause before a run is put back). No clock is read, no timer races with a call.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from perdure.testing.simulation.calls import UNIT

SECONDS = UNIT / 1e9


class Step(NamedTuple):
    """One step of an action."""

    op: str
    args: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.op}({', '.join(f'{name}={value}' for name, value in self.args.items())})"


class ActionProgram(NamedTuple):
    """What one action does."""

    name: str
    trigger: str  # "" for the input
    is_coroutine: bool
    steps: tuple[Step, ...]
    sends: str  # the type of the event that it sends at its end, or ""
    sends_count: int  # how often


class Program(NamedTuple):
    """A random agent with its inputs and configuration."""

    seed: int
    kind: str
    config: dict[str, Any]
    actions: tuple[ActionProgram, ...]
    inputs: tuple[tuple[str, str], ...]
    signals: tuple[tuple[int, int, str], ...]  # position, units after the start, name
    cancels: tuple[tuple[int, int], ...]  # position, units after the start

    def __str__(self) -> str:
        lines = [f"{self.kind} agent, config {self.config}, inputs {list(self.inputs)}"]
        if self.signals:
            lines.append(f"  signals (position, units, name): {list(self.signals)}")
        if self.cancels:
            lines.append(f"  cancelled (position, units): {list(self.cancels)}")
        for action in self.actions:
            how = "async def" if action.is_coroutine else "def"
            lines.append(f"  on {action.trigger or 'input'}: {how} {action.name}:")
            lines += [f"    {step}" for step in action.steps]
            if action.sends:
                lines.append(f"    send {action.sends} x {action.sends_count}")
            lines.append("    output what was seen")
        return "\n".join(lines)


# What a step may be, with its weight; `random_agents` has a method for each.
CALLS = {"call": 4, "retry": 2, "gather": 2, "race": 3, "reconcile": 1}
IN_COROUTINES = {"as_completed": 2, "group": 2, "queue": 1, "pool_race": 1}
TIMERS = {"sleep": 2}
RACING_TIMERS = {"deadline": 3, "total": 1}
WITHOUT_TIME = {"inline": 2, "update": 1, "remember": 1, "recall": 1, "forget": 1, "dice": 1}
SIGNALS = {"signal": 1, "maybe": 1}
CHILDREN = {"child": 2}
CLOCK = {"clock": 1}
LOOSE = {"hang": 3, "limited": 2}


def make_program(seed: int) -> Program:
    """Return the program of a seed."""
    chance = random.Random(f"program {seed}")
    kind = chance.choice(("narrow", "narrow", "wide", "loose"))
    config: dict[str, Any] = {"num-async-threads": 64}
    makers = {"narrow": _narrow, "wide": _wide, "loose": _loose}
    actions = makers[kind](chance, config)
    count = chance.choice((1, 2, 2, 3))
    inputs = tuple((f"k{chance.randrange(2)}", f"i{n}") for n in range(count))
    signals = _signals(chance, actions, count)
    cancels: tuple[tuple[int, int], ...] = ()
    if kind != "loose" and chance.random() < 0.15:
        cancels = ((chance.randrange(count), chance.randrange(12)),)
    return Program(seed, kind, config, tuple(actions), inputs, signals, cancels)


def _signals(
    chance: random.Random, actions: list[ActionProgram], count: int
) -> tuple[tuple[int, int, str], ...]:
    """Return a signal for each wait that needs one, and some for those that do not."""
    waits = [step.op for action in actions for step in action.steps if step.op in SIGNALS]
    return tuple(
        (position, chance.randrange(12), op)
        for position in range(count)
        for op in waits
        if op == "signal" or chance.random() < 0.7
    )


def _narrow(chance: random.Random, config: dict[str, Any]) -> list[ActionProgram]:
    first_coroutine = chance.random() < 0.7
    actions = [_action(chance, "a", "", first_coroutine, "narrow", chance.choice((2, 3, 4)))]
    if chance.random() < 0.4:
        actions[0] = actions[0]._replace(sends="more", sends_count=1)
        actions.append(_action(chance, "b", "more", chance.random() < 0.5, "narrow", 2))
    _may_fail(chance, actions, heals=99)
    return actions


def _wide(chance: random.Random, config: dict[str, Any]) -> list[ActionProgram]:
    actions = []
    for n in range(chance.choice((2, 2, 3))):
        name = "abc"[n]
        action = _action(chance, name, "", chance.random() < 0.6, "wide", chance.choice((1, 2, 2)))
        if chance.random() < 0.4:
            action = action._replace(sends="more", sends_count=chance.choice((1, 2)))
        actions.append(action)
    if any(action.sends for action in actions):
        actions.append(_action(chance, "d", "more", chance.random() < 0.5, "follow", 1))
    _may_fail(chance, actions, heals=99)
    return actions


def _loose(chance: random.Random, config: dict[str, Any]) -> list[ActionProgram]:
    config["limits.narrow.concurrency"] = 1
    config["continuations"] = chance.choice(("auto", "off", "off"))
    is_coroutine = config["continuations"] == "auto" and chance.random() < 0.6
    actions = [_action(chance, "a", "", is_coroutine, "loose", chance.choice((2, 3)))]
    if chance.random() < 0.3:
        actions[0] = actions[0]._replace(sends="more", sends_count=1)
        actions.append(_action(chance, "b", "more", chance.random() < 0.4, "loose", 2))
    if chance.random() < 0.5:
        config["error-handling-strategy"] = "retry"
        config["max-retries"] = chance.choice((1, 2))
        config["retry-wait-interval"] = chance.choice((0.0, 0.05))
        # What an outcome that nobody waits for leaves to a retry is a matter of a moment.
        actions = [_waiting_for_all(action) for action in actions]
        _may_fail(chance, actions, heals=chance.choice((1, 2, 99)), certainly=True)
    return actions


def _waiting_for_all(action: ActionProgram) -> ActionProgram:
    steps = tuple(
        step._replace(args={**step.args, "then": "wait"}) if "then" in step.args else step
        for step in action.steps
    )
    return action._replace(steps=steps)


def _may_fail(
    chance: random.Random, actions: list[ActionProgram], *, heals: int, certainly: bool = False
) -> None:
    """Let an action fail, until its run was put back `heals` times."""
    if certainly or chance.random() < 0.15:
        n = chance.randrange(len(actions))
        steps = list(actions[n].steps)
        fail = Step("fail", {"plain": chance.random() < 0.5, "heals": heals})
        steps.insert(chance.randint(1, len(steps)), fail)
        actions[n] = actions[n]._replace(steps=tuple(steps))


def _action(
    chance: random.Random, name: str, trigger: str, is_coroutine: bool, kind: str, count: int
) -> ActionProgram:
    steps: list[Step] = []
    for n in range(count):
        weights = dict(CALLS)
        if is_coroutine:
            weights |= IN_COROUTINES
        if n or kind not in ("wide", "follow"):
            weights |= WITHOUT_TIME | TIMERS
        if kind != "loose" and (n or kind == "narrow"):
            weights |= RACING_TIMERS
        if kind == "narrow":
            weights |= SIGNALS | CHILDREN
        if kind == "loose":
            weights |= LOOSE
            weights.pop("group", None)  # a branch of two calls may lose against another's one
            weights.pop("retry", None) if is_coroutine else None
        elif n and any(step.op in CALLS for step in steps):
            weights |= CLOCK
        if kind == "follow":
            weights.pop("recall", None)
        op = chance.choices(list(weights), list(weights.values()))[0]
        steps.append(_step(chance, op))
    return ActionProgram(name, trigger, is_coroutine, tuple(steps), "", 0)


def _step(chance: random.Random, op: str) -> Step:
    plain = chance.random() < 0.4
    args: dict[str, Any] = {}
    if op in ("call", "reconcile"):
        args = {"plain": plain, "fails": chance.choice((0, 0, 0, 99))}
    elif op == "retry":
        attempts = chance.choice((2, 3))
        args = {"plain": plain, "fails": chance.randint(1, attempts), "attempts": attempts}
    elif op in ("gather", "as_completed", "queue"):
        args = {"n": chance.choice((2, 3)), "plain": plain, "fails": chance.choice((0, 0, 1))}
    elif op in ("race", "pool_race"):
        args = {"n": chance.choice((2, 3)), "plain": plain,
                "then": chance.choice(("wait", "cancel", "leave"))}  # fmt: skip
    elif op == "group":
        args = {"n": 2, "plain": plain, "fails": chance.choice((-1, -1, 0, 1))}
    elif op == "deadline":
        args = {"units": chance.choice((1, 2, 3)), "plain": plain}
    elif op == "total":
        args = {"units": chance.choice((3, 6)), "plain": plain}
    elif op == "sleep":
        args = {"units": chance.choice((1, 2)), "asyncio": chance.random() < 0.5}
    elif op == "hang":
        args = {"plain": plain, "attempts": chance.choice((1, 1, 2))}
    elif op == "maybe":
        args = {"units": chance.choice((1, 3))}
    elif op == "limited":
        args = {"plain": plain}
    elif op == "child":
        args = {"waits": chance.random() < 0.6, "delay": chance.choice((0, 0, 2))}
    elif op == "inline":
        args = {"fails": chance.choice((0, 0, 99))}
    return Step(op, args)
