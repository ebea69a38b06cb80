"""What the runs of each golden journal come to, whoever lets them go on."""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Callable
from typing import Any

from tests.replay import agents
from tests.replay.make_journals import KEYS

from perdure.engine.job import Job


async def nothing(job: Job) -> None:
    """Only go on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """What a journal's job must come to; see `Replayed`.

    Attributes:
        executed: callables that have no recorded outcome, in order; no other may run.
        errors: how type and message of the failed runs' errors begin.
        begin: when its job is opened again, in simulated seconds.
        body: what happens meanwhile.
    """

    begin: float
    outputs: dict[str, list[Any]]
    executed: list[tuple[Any, ...]]
    statuses: dict[str, str] = dataclasses.field(default_factory=dict)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    memory: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    delivered: list[Any] | None = None
    body: Callable[[Job], Any] = nothing
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


async def _sends_late(job: Job) -> None:
    for run in ("r1", "r2"):
        assert await job.signal(run, "late", f"late for {run}")


async def _waits_for_what_is_due(job: Job) -> None:
    run = await job.submit("due soon", key="d", id="soon")
    assert run.id == "r1"
    await run.wait()


def fetched(*what: str) -> list[tuple[Any, ...]]:
    return [("fetch", each) for each in what]


STEPS = ["fetch!", "parse!", "store!", "send!"]
SAMPLE = agents.Sample(agents.Mood.BAD, [agents.Sample(agents.Mood.GOOD, agents.VALUES, "inside")])

UUIDS = """
    cd1875da-e09c-4f35-a0d7-85564ebfc159 00c694a2-a7cc-48fa-91d7-6907fdd125b6
    dc6d3d4f-d7d3-4a87-bf84-4d3dcef14d52 b52389f4-733f-4504-a7b2-bc20c67098a8
    341af0cd-751b-4f7f-bbbb-5a26cb610573 e4426569-21ae-4d97-824c-124056d55efe
    f77912ff-daa7-4a7f-a921-e6c23745b497 5f3ec257-41e1-4468-8d95-4254702eb563
    f225bbaa-f74d-476a-b54d-02c3b33b09b0 bf6b3a28-90c8-4560-b94f-5cc0b9312518
    95008fec-f688-4639-86ff-38a242937aae 0f1d8818-c07d-4a89-88b1-b762eef8aeb2
    91101689-8c6a-4001-9907-9c15d3352e9c bb644baf-b004-474f-bf15-9d190b29c193
    9ca7689b-0cf9-4bd5-b4e0-001c6bfae9c1 cb90882d-f512-4ccc-b936-ab71b47e6482
    25b220f7-62ae-426c-89a1-dea3184163fc 9f0b35a5-6920-469f-b477-ab5dc0ec7c9b
    8cc5a12e-b7af-435e-8176-a963d37e38c7
""".split()  # that each key's run draws

EXPECTED: dict[str, Expected] = {
    "sequential": Expected(
        begin=3,
        outputs={
            "r1": [[f"a: {s}" for s in STEPS], ["a4db067b-de44-4bf9-a692-359a00b24e03", 574]],
            "r2": [[f"b: {s}" for s in STEPS], ["cc6b72a5-093c-41c1-b01c-324340c6d6ae", 878]],
        },
        executed=fetched("a: store", "b: store", "a: send", "b: send"),
    ),
    "gather_and_race": Expected(
        begin=5,
        outputs={"r1": [[["late!", "early!"], ["quick!"], 1, "after!", "slow!"]]},
        executed=fetched("slow", "after"),
    ),
    "as_completed_and_task_group": Expected(
        begin=9,
        outputs={
            "r1": [
                ["call 1!", "call 2!", "call 3!", "task ya!", "task za!", "task yb!", "task zb!",
                 "task xa!", "task xb!"],
            ],
        },
        executed=fetched("task xb"),
    ),
    "failures_caught": Expected(
        begin=4,
        outputs={
            "r1": [
                [
                    [("4711", 51), "4711", 51, ["ask for another card"], "BusyError('the bank')"],
                    ["tests.replay.agents.vanish.<locals>.LocalError", "gone"],
                    "[CardDeclinedError('4712', 51), 'other card!']",
                ],
            ],
        },
        executed=fetched("other card"),
    ),
    "plain": Expected(
        begin=3,
        outputs={"r1": [["one!", "two!", "three!", "four!", "five!"]]},
        executed=[*fetched("three", "four"), ("fetch_plain", "five")],
    ),
    "plain_race": Expected(
        begin=3,
        outputs={"r1": [[["quick!"], 1, "after!", "slow!"]]},
        executed=fetched("slow", "after"),
    ),
    "retry_in_back_off": Expected(
        begin=6,
        outputs={"r1": ["fails!"], "r2": ["crashes!"]},
        executed=[("flaky", "crashes"), ("flaky", "fails")],
    ),
    "in_doubt": Expected(
        begin=4,
        outputs={"r1": [["charged 10.50 to visa", "found 99.90 on amex"]]},
        executed=[("find_charge", "amex", decimal.Decimal("99.90"))],
    ),
    "timers": Expected(begin=21, outputs={"r1": [[2.0, 12.0, True]]}, executed=[]),
    "cancelled": Expected(
        begin=5,
        outputs={"r1": ["shown when it completes"]},
        executed=fetched("long", "stopped: tell"),
        statuses={"r2": "cancelled"},
    ),
    "timed_out": Expected(
        begin=7,
        outputs={},
        executed=fetched("too long: tell"),
        statuses={"r1": "failed"},
        errors={"r1": "TimeoutError: "},
        config={"run-timeout": 5.0},
    ),
    "memory": Expected(
        begin=4,
        outputs={
            "r1": [["draft", "old", "runs"]],
            "r2": [["old", "runs"]],
            "r3": [
                ["new", "runs"],
                *([each, ["desk", "lamp", "sofa"]] for each in ("lamp", "desk", "sofa")),
                ["lamp", 1, {"lamp": 1}],
            ],
            "r4": [["new", "runs", "scores", "total"], ["vase", ["vase"]]],
        },
        executed=fetched("run 3 sofa", "run 3 praise ends", "run 4 vase"),
        memory={
            "'m'": {
                "new": [2], "runs": 4, "total": 11, "scores.lamp": 1, "scores.desk": 3,
                "scores.sofa": 5, "scores.vase": 2,
            },
        },
    ),
    "signals": Expected(
        begin=5,
        body=_sends_late,
        outputs={
            "r1": [[["yes", 1], "first: work!", "late for r1"]],
            "r2": [["before it began", "second: work!", "late for r2"]],
        },
        executed=fetched("first: work", "second: work"),
        statuses={"r3": "failed"},
        errors={"r3": "TimeoutError: no signal 'approve' came within 1000 s"},
    ),
    "children": Expected(
        begin=4,
        outputs={
            "r1": [[["quick, second half!"], ["slow, second half!"]]],
            "r2": ["quick, second half!"],
            "r3": ["slow, second half!"],
        },
        executed=fetched("slow, second half"),
    ),
    "delayed": Expected(
        begin=200,
        body=_waits_for_what_is_due,
        outputs={"r1": ["due soon!"], "r3": ["at once!"]},
        executed=fetched("due soon"),
        statuses={"r2": "waiting"},
    ),
    "retried": Expected(
        begin=6, outputs={"r1": [["first!", "second!", "third!"]]}, executed=[("flaky", "second")]
    ),
    "inbox": Expected(
        begin=4,
        outputs={
            f"r{n}": [[f"{name}: first!", f"{name}: later!", f"{name}: last!"]]
            for n, name in ((1, "fails"), (3, "told"))
        },
        executed=[
            *fetched("stopped: last", "told: last"),
            ("flaky", "fails: first"),  # what came later is known
            *fetched("fails: last"),
        ],
        statuses={"r2": "cancelled"},
    ),
    "reexecuted": Expected(
        begin=13,
        outputs={
            "r1": [["a: fetch!", "a: parse!!", "a: store!", "a: send!"]],
            "r2": [["b: fetch!", "b: parse!!", "b: store!", "b: send!"]],
        },
        executed=fetched("a: send", "b: send"),
    ),
    "diverging": Expected(
        begin=3,
        outputs={
            "r1": [[f"a: {s}" for s in STEPS], ["a4db067b-de44-4bf9-a692-359a00b24e03", 574]]
        },
        executed=fetched("a: store", "a: send"),
    ),
    "keys": Expected(
        begin=6,
        outputs={
            f"r{n + 1:x}": [[key, f"{n}: first!", f"{n}: second!", uuid]]
            for n, (key, uuid) in enumerate(zip(KEYS, UUIDS, strict=True))
        },
        executed=fetched(*(f"{n}: second" for n in range(len(KEYS)))),
        memory={repr(key): {"runs": 1} for key in KEYS},
    ),
    "values": Expected(
        begin=4,
        outputs={"r1": [[True] * 4, repr(SAMPLE), SAMPLE]},
        executed=[("compare",)],
        memory={"'v'": {"kept": agents.VALUES}},
    ),
    "documents": Expected(
        begin=2,
        outputs={"r1": [["whale", "ship"]]},
        executed=[*fetched("whale"), ("embed", "query", "whale")],
    ),
    "sink": Expected(
        begin=3,
        outputs={"r1": ["one!"], "r2": ["two!"], "r3": ["three!"]},
        executed=fetched("three"),
        delivered=["two!", "three!"],
    ),
}  # fmt: skip
