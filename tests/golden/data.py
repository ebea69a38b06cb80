"""Runs with everything in them that a screen may have to show: long, wide, odd."""

from __future__ import annotations

import dataclasses
from typing import Any

from perdure.operate.lives import LifeInfo
from perdure.operate.run_detail import ActionTimeline, CallInfo, RunDetail
from perdure.run import (
    BadLine,
    ChildInfo,
    EventInfo,
    MemoryWrite,
    OutputInfo,
    RunInfo,
    RunStatus,
    SignalInfo,
    WaitInfo,
)

MS, S = 1_000_000, 1_000_000_000
NOW = 1_764_206_400 * S  # 2025-11-27 01:20:00 UTC
BEGAN = NOW - 11 * 60 * S - 30 * S

FAILURE = {
    "type": "shop.errors.RefundRefused",
    "message": "the order 10-4471 was paid with a voucher:\nvouchers cannot be refunded to a card,"
    " ask the customer which account the amount shall go to",
    "traceback": 'Traceback (most recent call last):\n  File "/srv/shop/refunds.py", line 88, in'
    " refund\n    raise RefundRefused(order)\nshop.errors.RefundRefused: the order 10-4471\n",
    "notes": ["the gateway answered 422"],
    "place": "/srv/shop/refunds.py:88",
}
BUSY = {
    "type": "TimeoutError",
    "message": "no answer within 30 s",
    "traceback": "",
    "notes": [],
    "place": "",
}
LONG_QUESTION = (
    "Refund 129.90 EUR to Ann Müller for order 10-4471? She says that the parcel came open, and"
    " that two of the five items are missing; the photo shows it.\nThe carrier has not answered."
)


def run(number: int, key: Any, status: RunStatus, **more: Any) -> RunInfo:
    facts: dict[str, Any] = {
        "id": f"r{number:x}",
        "number": (1 << 40) | number,
        "key": key,
        "sequence": 1,
        "label": f"tickets:{number}",
        "status": status,
        "attempts": 0,
        "error": None,
        "input": {"id": number, "text": "where is my parcel?"},
        "admitted_at": BEGAN,
        "finished_at": 0,
    }
    return RunInfo(**(facts | more))


def wait(
    run_id: str, key: Any, name: str, kind: str, question: str | None, ago: int, **more: Any
) -> WaitInfo:
    return WaitInfo(
        **more,
        run=run_id,
        key=key,
        name=name,
        kind=kind,
        question=question,
        since=NOW - ago,
        action="decide",
        event=1,
    )


WAITS = [
    wait(
        "r3ea",
        "customer-4711",
        "refund",
        "approval",
        LONG_QUESTION,
        26 * 3600 * S,
        input_id="ticket 1002",
    ),
    wait("r1f", ["お客様", 7], "documents from the carrier", "signal", None, 75 * S),
    wait(
        "r20",
        "customer-4708",
        "pay",
        "approval",
        None,
        5 * S,
        input_id="2f1c8b1e-9d0e-4c54-8f5b-52c1f2a0b7aa",
    ),
]
RUNS = [
    run(1005, "customer-4714", RunStatus.QUEUED, admitted_at=NOW - 4 * S, sequence=12),
    run(1004, "customer-4713", RunStatus.RUNNING, activity="asks the model", attempts=1),
    run(1003, "customer-4712", RunStatus.WAITING, is_delayed=True, due=NOW + 2 * 3600 * S),
    run(
        1002,
        "customer-4711",
        RunStatus.WAITING,
        waits=(WAITS[0],),
        label="ticket 1002",
        input_id="ticket 1002",
        sequence=3,
        activity={"step": "refund", "of": 4, "note": "two of the five items are missing"},
    ),
    run(
        1001,
        "a-customer-whose-key-is-a-very-long-text-indeed-0123456789",
        RunStatus.FAILED,
        error=FAILURE,
        attempts=2,
        finished_at=BEGAN + 4_200 * MS,
    ),
    run(
        1000,
        {"お客様": "山田太郎", "region": "東京"},
        RunStatus.COMPLETED,
        finished_at=BEGAN + 850 * MS,
        admitted_at=NOW - 3 * 86_400 * S,
    ),
    run(999, "👩‍💻 évé", RunStatus.CANCELLED, finished_at=BEGAN + 65 * S),
]
COUNTS = {"completed": 998, "failed": 1, "cancelled": 1, "unfinished": 4, "waiting": 2}
BAD_LINES = [
    BadLine(
        source="tickets.jsonl",
        position=6,
        line=7,
        reason="it is not JSON: Expecting ','"
        " delimiter at column 31; mend the line, or leave it out",
        at=NOW - 3600 * S,
    ),
    BadLine(source="queue", position=41, line=None, reason="no field 'id'", at=NOW - 9 * S),
]


def call(number: int, function: str, status: str, **more: Any) -> CallInfo:
    facts: dict[str, Any] = {
        "number": number,
        "function": function,
        "arguments": "'10-4471'",
        "status": status,
        "attempts": 1,
        "outcome": None,
        "error": None,
        "started_at": BEGAN + number * 100 * MS,
        "settled_at": BEGAN + number * 400 * MS if status in ("returned", "raised") else 0,
        "due_at": 0,
        "superseded": False,
    }
    return CallInfo(**(facts | more))


CALLS = (
    call(
        1,
        "shop.agents:TicketAgent.classify",
        "returned",
        attempts=3,
        arguments="'the parcel came open, and two of the five items are missing', model='small'",
        outcome={"kind": "refund", "confidence": 0.93, "because": "the customer asks for money"},
    ),
    call(
        2,
        "shop.warehouse.stock.availability:look_up_the_order_with_all_its_items",
        "returned",
        outcome=["お皿", "茶碗", "箸"],
    ),
    call(3, "shop.refunds:refund", "raised", error=FAILURE, superseded=True),
    call(10, "shop.refunds:refund", "raised", error=FAILURE),
)
OPEN_CALLS = (
    call(1, "agent:ask", "returned", outcome="yes"),
    call(2, "agent:charge", "in doubt"),
    call(3, "agent:ask", "retrying", attempts=3, error=BUSY, due_at=NOW + 12 * S),
    call(4, "agent:ask", "begun", attempts=2),
)


def action(name: str, event: int, status: str, calls: tuple[CallInfo, ...]) -> ActionTimeline:
    return ActionTimeline(
        name=name,
        event=event,
        event_type="Ticket" if event else "InputEvent",
        status=status,
        started_at=BEGAN + event * 10 * MS,
        calls=calls,
        cancelled_at=0,
        finished_at=BEGAN + 1_000 * MS if status == "completed" else 0,
        timers=(BEGAN + 700 * MS,) if event else (),
    )


def detail(head: RunInfo, calls: tuple[CallInfo, ...], status: str, **more: Any) -> RunDetail:
    facts: dict[str, Any] = {
        "run": head,
        "events": (
            EventInfo(
                number=0, type="InputEvent", id="", attributes={}, source_event=None, action=""
            ),
            EventInfo(
                number=1,
                type="Ticket",
                id="5f1c9a7de0",
                source_event=0,
                action="read",
                attributes={
                    "text": "the parcel came open, and two of the five items are"
                    " missing; I want my money back",
                    "language": "en",
                },
            ),
        ),
        "actions": (
            action("read", 0, "completed", calls[:1]),
            action("decide_what_becomes_of_the_ticket", 1, status, calls[1:]),
        ),
        "memory": (
            MemoryWrite(
                memory="short-term",
                path="customer.last_ticket",
                value="10-4471",
                deleted=False,
                action="read",
                event=0,
            ),
            MemoryWrite(
                memory="sensory", path="draft", value=None, deleted=True, action="read", event=0
            ),
        ),
        "outputs": (
            OutputInfo(
                number=1,
                id="0a1b2c3d4e5f",
                delivered=False,
                value={"ticket": 1001, "answer": "We are sorry to hear that. " * 8},
            ),
        ),
        "retried_at": (BEGAN + 3_000 * MS,),
        "signals": (),
        "children": (),
        "stopped": "",
        "stopped_at": 0,
        "commands": (),
    }
    return RunDetail(**(facts | more))


DETAILS = {
    "r3e9": detail(RUNS[4], CALLS, "failed"),
    "r3ea": detail(
        dataclasses.replace(RUNS[3], due=BEGAN),
        OPEN_CALLS,
        "unfinished",
        signals=(
            SignalInfo(
                name="documents",
                value={"pages": 3},
                came_at=BEGAN + 500 * MS,
                action="decide_what_becomes_of_the_ticket",
                event=1,
                taken_at=BEGAN + 600 * MS,
            ),
            SignalInfo(
                name="hurry", value=None, came_at=NOW - 5 * S, action="", event=None, taken_at=0
            ),
        ),
        children=(
            ChildInfo(id="r3eb", run=RUNS[2], action="read", event=0, call=2),
            ChildInfo(id="r3ff", run=None, action="read", event=0, call=3),
        ),
        commands=("signal hurry",),
    ),
}


def _worked(number: int, key: Any, status: RunStatus, spans: list[tuple[int, int]], **more: Any):
    """Return a run with calls from and to so many seconds after BEGAN."""
    calls = tuple(
        call(
            n,
            "agent:ask",
            "returned",
            started_at=BEGAN + begin * S,
            settled_at=BEGAN + end * S,
        )
        for n, (begin, end) in enumerate(spans, 1)
    )
    ended = BEGAN + spans[-1][1] * S if status.is_final else 0
    begun = ActionTimeline(
        name="handle",
        event=0,
        event_type="InputEvent",
        status=status.value,
        started_at=calls[0].started_at,
        finished_at=ended,
        calls=calls,
        timers=(),
        cancelled_at=0,
    )
    return detail(run(number, key, status, finished_at=ended, **more), (), "", actions=(begun,))


LONG_KEY = "a-customer-whose-key-is-a-very-long-text-indeed-0123456789"
LIVES = [
    LifeInfo(
        number=number, host="desk", pid=4000 + number, begun_at=begun, seen_at=begun + S,
        ended_at=0, code="", status=status,
    )
    for number, begun, status in ((3, BEGAN - 60 * S, "killed"), (4, BEGAN + 2 * S, "running"))
]  # fmt: skip

JOB_DETAILS = [
    _worked(990, "customer-4711", RunStatus.COMPLETED, [(0, 40), (20, 90)]),
    _worked(991, LONG_KEY, RunStatus.FAILED, [(2, 200), (300, 320)], input_id="order 7"),
    _worked(992, "customer-4711", RunStatus.COMPLETED, [(90, 100), (400, 500)], sequence=2),
    _worked(993, {"お客様": "山田太郎"}, RunStatus.CANCELLED, [(5, 65)]),
    _worked(994, "customer-4712", RunStatus.WAITING, [(0, 60)], input_id="2f1c8b1e-9d0e-4c54-8f5b"),
    _worked(995, "customer-4713", RunStatus.RUNNING, [(100, 300)]),
    detail(RUNS[2], (), "", actions=()),
    detail(
        run(997, "customer-4713", RunStatus.QUEUED, admitted_at=BEGAN + 200 * S), (), "", actions=()
    ),
]
