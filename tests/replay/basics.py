"""Scenarios of the runtime itself, and what they come to; their agents stand in `agents.py`."""

from __future__ import annotations

import asyncio
import decimal
from typing import Any

from tests.inside import commits_of, runtime_of, services_of
from tests.replay import agents
from tests.replay.harness import (
    EPOCH,
    Expected,
    Life,
    Scenario,
    at,
    fetched,
    nothing,
    one,
    submits,
)

from perdure import RunStatus
from perdure.engine.job import Job
from perdure.journal.record import encode_signal
from perdure.store.base import CommandRow

ONE_AT_A_TIME = {"limits.one.concurrency": 1}
CENTURIES = 200 * 365 * 86_400.0


async def _cancels(job: Job) -> None:
    runs = [await job.submit(name, key=name) for name in ("kept", "stopped")]
    await at(3)
    await runs[1].cancel()


async def _timed_out(job: Job) -> None:
    await job.submit("too long", key="t")


async def _signals(job: Job) -> None:
    first = await job.submit("first", key="s")
    second = await job.submit("second", key="s")
    await job.submit("third", key="waits")
    await at(1)
    await first.signal("unwanted", {"left": "over"})
    await at(2)
    await first.signal("approve", ["yes", 1])
    await first.signal("approve", ["again", 2])
    await second.signal("approve", "before it began")


async def _delays(job: Job) -> None:
    await job.submit("due soon", key="d", delay=100, id="soon")
    await job.submit("due in centuries", key="d", delay=CENTURIES, id="far")
    await job.submit("at once", key="e", delay=0.0)


async def _retries(job: Job) -> None:
    run = await job.submit("again", key="r")
    assert await run.wait() is RunStatus.FAILED
    runtime = runtime_of(job)
    assert await runtime.retry(runtime.job_number << 40 | 1)


async def _leaves_commands(job: Job) -> None:
    """Fill the inbox as another process would, for a job that is not open."""
    failed = await job.submit("fails", key="r")
    runs = [await job.submit(name, key=name) for name in ("stopped", "told")]
    assert await failed.wait() is RunStatus.FAILED
    await at(3.5)
    codec, number = services_of(job).codec, runtime_of(job).job_number
    commands = [("retry", failed.id, None), ("cancel", runs[0].id, None)]
    commands.append(("signal", runs[1].id, encode_signal("unwanted", codec.encode("new"))))
    rows = [
        CommandRow(number, number << 40 | int(run[1:], 16), name, payload, EPOCH)
        for name, run, payload in commands
    ]
    await commits_of(job).write(rows)  # the job's own writes are no news to it


async def _takes_one(output: Any) -> None:
    """Take the first output and hang in the second, as a slow sink."""
    if output.value != "one!":
        await asyncio.Event().wait()


async def _sinks(job: Job) -> None:
    for name in ("one", "two", "three"):
        await job.submit(name, key="same")


KEYS: tuple[Any, ...] = (
    "", " ", "a.b/c:d", "it's \"quoted\"; DROP TABLE run; --", "naïve ☃ 🙂", "\ud800", "nul\0",
    "two\nlines", "x" * 300, 0, True, -1, 2**70, 1.5, None, b"\x00\xff", ["list", 1], ("tuple", 1),
    {"k": "v"},
)  # fmt: skip
IDS: tuple[Any, ...] = ("", "it's", "naïve ☃", "~tilde", 7, "7", ("t", 1), "nul\0", "-- x")


async def _keys(job: Job) -> None:
    for n, key in enumerate(KEYS):
        await job.submit(n, key=key, id=IDS[n] if n < len(IDS) else None)


A_B = submits(("a", "a"), ("b", "b"))
REVIEWS: tuple[dict[str, Any], ...] = (
    {"set": {"draft.text": "gone soon", "draft.by": "nobody", "old": 1}},
    {"delete": ["draft"]},
    {"delete": ["old"], "set": {"new": [2]}, "reviews": {"lamp": 1, "desk": 3, "sofa": 5}},
    {"reviews": {"vase": 2}},
)
UNLUCKY = Life(agent=agents.sequential, body=submits(("a", "a"), ("b", "b")), until=2.5)

SCENARIOS: dict[str, Scenario] = {
    "sequential": one("Calls one after another, half of them done.", agents.sequential, A_B, 2.5),
    "gather_and_race": one(
        "A gather in the other order of its calls; a race, its winner recorded.",
        agents.gather_and_race, submits(("", "g")), 4.5,
    ),
    "as_completed_and_task_group": one(
        "The orders of as_completed and of a TaskGroup's tasks.",
        agents.as_completed_and_task_group, submits(("", "o")), 8,
    ),
    "failures_caught": one(
        "Failed calls: one rebuilt with its fields, one that cannot be, one in a gather.",
        agents.failures_caught, submits(("", "f")), 3.5,
    ),
    "plain": one("A plain action whose calls overlap.", agents.plain, submits(("", "p")), 2.75),
    "plain_race": one(
        "A race in a plain action, its winner recorded.",
        agents.plain_race, submits(("", "p")), 2.5,
    ),
    "retry_in_back_off": one(
        "A failed attempt and its back-off; an attempt that ends with its process and counts.",
        agents.retry_in_back_off, submits(("fails", "f"), ("crashes", "c")), 5,
    ),
    "waited": one(
        "Calls that waited for a limit, for their retries and for both; one under way.",
        agents.waited, submits(("", "w")), 12, first=5, config=ONE_AT_A_TIME,
    ),
    "in_doubt": one(
        "A call with a reconciler that is done, another in doubt.",
        agents.in_doubt, submits(("", "i")), 3,
    ),
    "timers": one(
        "A sleep and a timeout that came due, a sleep that did not.",
        agents.timers, submits(("", "t")), 20,
    ),
    "cancelled": one(
        "A run that was asked to stop and cleans up; another goes on.",
        agents.cancelled, _cancels, 4.5,
    ),
    "timed_out": one(
        "A run that took too long (run-timeout) and cleans up.",
        agents.cancelled, _timed_out, 6.5, config={"run-timeout": 5.0}, first=2,
    ),
    "memory": one(
        "Events, snapshots, tombstones, updates: a run that ended, one in the middle, one queued.",
        agents.Reviews, submits(*((each, "m") for each in REVIEWS)), 3.5,
    ),
    "signals": one(
        "Signals: taken, left over, for a run that has not begun; what the runs say they do.",
        agents.signals, _signals, 4, first=2,
    ),
    "children": one(
        "A run that started two others: the outputs of one are recorded, the other is half done.",
        agents.children, submits((["quick", "slow"], "parent")), 3, first=2,
    ),
    "delayed": one("Runs that are due later.", agents.delayed, _delays, 10, first=2),
    "retried": one(
        "A retried run: calls before the failure replayed, one behind it answered.",
        agents.retried, _retries, 5,
    ),
    "inbox": one(
        "Commands in the inbox: retry, cancel, signal.",
        agents.obeys, _leaves_commands, 3.5, first=2,
    ),
    "reexecuted": Scenario(
        about="A journal cut by on-divergence: reexecute, and gone on with.",
        lives=(
            UNLUCKY,
            Life(
                agent=agents.sequential_changed, body=nothing, begin=10, until=12.5,
                config={"on-divergence": "reexecute"},
            ),
        ),
    ),
    "diverging": one(
        "Made by an agent that another one is not (see test_replay.py).",
        agents.sequential, submits(("a", "a")), 2.5,
    ),
    "values": one(
        "Values of many types in an input, a result, arguments, an event, both memories.",
        agents.Measures, submits((agents.VALUES, "v")), 3.5,
    ),
    "keys": one("Keys and ids with awkward characters.", agents.keys, _keys, 5),
    "sink": one(
        "Outputs in the outbox: one delivered, one not; a run in the middle.",
        agents.delayed, _sinks, 2.5, sink=_takes_one,
    ),
}  # fmt: skip


# What they come to


async def _sends_late(job: Job) -> None:
    for run in ("r1", "r2"):
        assert await job.signal(run, "late", f"late for {run}")


async def _waits_for_what_is_due(job: Job) -> None:
    run = await job.submit("due soon", key="d", id="soon")
    assert run.id == "r1"
    await run.wait()


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
    "waited": Expected(
        begin=14,
        outputs={
            "r1": [["limited 0!", "limited 1!", "limited 2!", "both!", "alone!", "after!"]]
        },
        executed=fetched("after"),
        config=ONE_AT_A_TIME,
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
            *fetched("told: last"),  # what was cancelled begins nothing
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
        types=(agents.Sample,),
    ),
    "sink": Expected(
        begin=3,
        outputs={"r1": ["one!"], "r2": ["two!"], "r3": ["three!"]},
        executed=fetched("three"),
        delivered=["two!", "three!"],
    ),
}  # fmt: skip
