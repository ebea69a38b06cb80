"""Random programs for agents with models: what models, tools and actions do, as data.

Four shapes:

- *inside*: one action chats, searches and remembers by itself. Everything is allowed.
- *events*: several chats and searches of a run at once, by events.
- *react*: a ReActAgent.
- *loose*: one thing at a time, with what by right takes place at another time after a crash:
  limits, `chat.async` and its like off, timeouts of attempts, runs that are put back.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from perdure.testing.simulation.programs import Step

NEVER = 99


class ToolProgram(NamedTuple):
    """What a tool does.

    Attributes:
        name: its name.
        does: "text", "data"; "fails", "terminal", "flaky" (works in the second attempt), "unlucky"
            (the run fails with it), "hangs" (in the first attempt).
        plain: whether it is a plain function.
        approval: whether a person must agree.
        heals: "unlucky": after so many times that the run was put back.
    """

    name: str
    does: str
    plain: bool
    approval: bool
    heals: int = NEVER


class ModelProgram(NamedTuple):
    """What a chat model does. Its answers depend on the messages alone.

    Attributes:
        name: its name.
        tools: the tools and sub-agents that it may ask for.
        rounds: how often it asks for tools.
        calls: how many calls it asks for at a time, at most.
        strange: whether it asks for unknown tools, gives bad arguments and ids twice.
        fails: how many attempts of each request fail; NEVER: for good.
        hangs: whether the first attempt hangs instead.
        fallbacks: who is asked then.
        output: how it gives structured output: "native", "tool", "prompted"; "": it has no schema.
        misfits: how often its answer does not fit at first.
        plain: whether its connection is a plain function.
        max_rounds: rounds of tool calls that are allowed.
        limited: whether its requests count under the limit "narrow".
        agent: whether it is a sub-agent's.
    """

    name: str
    tools: tuple[str, ...]
    rounds: int
    calls: int
    strange: bool
    fails: int
    hangs: bool
    fallbacks: tuple[str, ...]
    output: str
    misfits: int
    plain: bool
    max_rounds: int
    limited: bool
    agent: bool


class ChatProgram(NamedTuple):
    """A random agent with models, with its inputs and configuration."""

    seed: int
    shape: str
    config: dict[str, Any]
    tools: tuple[ToolProgram, ...]
    models: tuple[ModelProgram, ...]
    steps: tuple[Step, ...]  # of the one action; what is sent, one after the other or at once
    inputs: tuple[tuple[str, str], ...]
    cancels: tuple[tuple[int, int], ...]  # position, units after the start

    def __str__(self) -> str:
        lines = [f"{self.shape} agent with models, config {self.config}, inputs {self.inputs}"]
        if self.cancels:
            lines.append(f"  cancelled (position, units): {list(self.cancels)}")
        lines += [f"  {each}" for each in (*self.tools, *self.models)]
        lines += [f"    {step}" for step in self.steps]
        return "\n".join(lines)


# What a step may be, with its weight; `random_chats` has a method for each.
ALONE = {"chat": 3, "agent": 1, "retrieve": 1, "add": 2, "search": 1, "update": 1, "drop": 1,
         "compact": 1, "size": 1, "remember": 1}  # fmt: skip
TOGETHER = {"gather": 3, "deadline": 3, "race": 2, "group": 1, "memories": 1}
LOOSE = {"chat": 3, "agent": 1, "retrieve": 1, "remember": 1}  # items of memory have times
BY_EVENT = {"chat": 3, "retrieval": 1}


def make_chats(seed: int) -> ChatProgram:
    """Return the program of a seed."""
    chance = random.Random(f"chats {seed}")
    shape = chance.choice(("inside", "inside", "events", "events", "react", "loose"))
    # What waits for a place may begin sooner after a crash, and then outlast a timeout.
    loose = chance.choice(("hangs", "limits")) if shape == "loose" else ""
    config: dict[str, Any] = {
        "num-async-threads": 64,
        "tool-call.parallelism": chance.choice((1, 2, 4)),
    }
    if chance.random() < 0.5:
        config["long-term-memory.embedding-model"] = "words"
    heals = NEVER
    if loose:
        heals = _loosen(chance, loose, config)
    tools = tuple(_tool(chance, f"t{n}", loose, heals) for n in range(chance.choice((1, 2, 3))))
    models = _models(chance, [tool.name for tool in tools], loose)
    count = chance.choice((1, 2))
    inputs = tuple((f"k{chance.randrange(2)}", f"i{n}") for n in range(count))
    cancels: tuple[tuple[int, int], ...] = ()
    if not loose and chance.random() < 0.12:
        cancels = ((chance.randrange(count), chance.randrange(16)),)
    steps = _steps(chance, shape, [model.name for model in models if not model.agent])
    return ChatProgram(seed, shape, config, tools, models, steps, inputs, cancels)


def _loosen(chance: random.Random, loose: str, config: dict[str, Any]) -> int:
    config["limits.narrow.concurrency"] = 1
    for name in ("chat.async", "tool-call.async", "rag.async"):
        config[name] = loose == "hangs" or chance.random() < 0.4
    if chance.random() < 0.5:
        return NEVER
    config["error-handling-strategy"] = "retry"
    config["max-retries"] = 2
    config["retry-wait-interval"] = chance.choice((0.0, 0.05))
    return chance.choice((1, 2, NEVER))


def _tool(chance: random.Random, name: str, loose: str, heals: int) -> ToolProgram:
    does = ["text", "text", "data", "fails", "terminal", "flaky"]
    if loose:
        does += [loose.replace("limits", "text")] + ["unlucky"] * (3 if heals != NEVER else 1)
    elif chance.random() < 0.15:
        does = ["unlucky"]
    return ToolProgram(
        name, chance.choice(does), chance.random() < 0.4, chance.random() < 0.3, heals
    )


def _models(chance: random.Random, tools: list[str], loose: str) -> tuple[ModelProgram, ...]:
    spare = _model(chance, "spare", tools, loose)._replace(fails=0, hangs=False, fallbacks=())
    models = [spare]
    if chance.random() < 0.4:
        agent = _model(chance, "agent", tools, loose)
        models.append(agent._replace(agent=True, rounds=min(1, agent.rounds)))
        tools = [*tools, "agent"]
    for name in ("one", "two")[: chance.choice((1, 2))]:
        models.append(_model(chance, name, tools, loose))
    return tuple(models)


def _model(chance: random.Random, name: str, tools: list[str], loose: str) -> ModelProgram:
    fails = chance.choice((0, 0, 0, 1, NEVER))
    return ModelProgram(
        name=name,
        tools=tuple(tools),
        rounds=chance.choice((0, 1, 1, 2)),
        calls=1 if loose else chance.choice((1, 2, 3)),
        strange=chance.random() < 0.3,
        fails=fails,
        hangs=loose == "hangs" and chance.random() < 0.6,
        fallbacks=("spare",) if fails and chance.random() < 0.7 else (),
        output=chance.choice(("", "", "native", "tool", "prompted")),
        misfits=chance.choice((0, 0, 1, 1, 3)),
        plain=chance.random() < 0.25,
        max_rounds=chance.choice((1, 8, 8)),
        limited=loose == "limits" and chance.random() < 0.5,
        agent=False,
    )


def _steps(chance: random.Random, shape: str, models: list[str]) -> tuple[Step, ...]:
    if shape == "react":
        return (Step("chat", {"model": models[-1]}),)
    if shape == "events" or (shape == "loose" and chance.random() < 0.5):
        count = 2 if shape == "loose" else chance.choice((1, 2, 2))
        weights = {"chat": 1} if shape == "loose" else BY_EVENT
        return tuple(_step(chance, _drawn(chance, weights), models) for _ in range(count))
    weights = LOOSE if shape == "loose" else ALONE | TOGETHER
    first = Step("chat", {"model": models[-1], "schema": False})  # before anything takes the time
    rest = [_step(chance, _drawn(chance, weights), models) for _ in range(chance.choice((1, 2, 3)))]
    return (Step("inside", {}), first, *rest)


def _drawn(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _step(chance: random.Random, op: str, models: list[str]) -> Step:
    args: dict[str, Any] = {}
    if op == "chat":
        args = {"model": chance.choice(models), "schema": chance.random() < 0.3}
    elif op in ("gather", "race", "group"):
        args = {"models": tuple(chance.choice(models) for _ in range(2))}
    elif op == "deadline":
        args = {"model": chance.choice(models), "units": chance.choice((1, 3, 6, 12))}
    elif op == "add":
        args = {"n": chance.choice((1, 2, 3)), "named": chance.random() < 0.5}
    elif op in ("retrieve", "retrieval"):
        args = {"mode": chance.choice(("semantic", "keyword", "hybrid"))}
    elif op == "compact":
        args = {"keep": chance.choice((0, 1))}
    elif op == "drop":
        args = {"all": chance.random() < 0.3}
    return Step(op, args)
