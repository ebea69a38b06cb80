"""A failure is one line that leads to the user's code; equal ones are counted, too many stop."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    OFF,
    ONE,
    PLAIN,
    agent_of,
    config_of,
    failures,
    out,
    pick,
    run,
)

from perdure import LocalEngine, RunsFailedError, TooManyFailuresError
from perdure.printable import quoted_key
from perdure.runtime.shared.failure_log import TOLD, WINDOW_SECONDS, FailureLog

KINDS = pytest.mark.parametrize("kind", [COROUTINE, PLAIN, OFF])
LONG_AND_MANY_LINES = "first\nsecond\n\tthird" + " x" * 5_000


async def refuse(value: Any) -> None:
    raise ValueError(f"no stock of {value}")  # the line that is named


def refuse_plain(value: Any) -> None:
    raise ValueError(f"no stock of {value}")  # the line that is named


def wrong_json() -> None:
    json.loads("{")  # the line that is named


async def refused(event: Any, ctx: Any) -> None:
    await ctx.durable_execute_async(refuse, event.input["k"])


def refused_plain(event: Any, ctx: Any) -> None:
    ctx.durable_execute(refuse_plain, event.input["k"])


async def refused_in_a_group(event: Any, ctx: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_one(ctx, event.input["k"]))


async def _one(ctx: Any, k: str) -> None:
    await ctx.durable_execute_async(refuse, k)


def line_of(func: Any, marked: str = "# the line that is named") -> str:
    """Return `FILE:LINE` of the marked line of a function, as messages have it."""
    lines, first = inspect.getsourcelines(func)
    at = next(number for number, line in enumerate(lines) if marked in line)
    return f"test_failure_log.py:{first + at}"


def logged(caplog: Any, level: int = logging.ERROR) -> list[str]:
    """Return what the job has logged at a level."""
    return [each.getMessage() for each in caplog.records if each.levelno == level]


@KINDS
def test_a_failure_is_one_line_with_file_and_line_of_the_users_code(kind: str, caplog: Any) -> None:
    agent = pick(kind, refused, refused_plain)
    failed = failures(agent, ONE, config=config_of(kind))
    (line,) = logged(caplog)
    place = line_of(refuse if kind == COROUTINE else refuse_plain)
    assert re.fullmatch(
        rf"run r1 of key 'a', action go failed at \S*{re.escape(place)}: ValueError: no stock of a",
        line,
    )
    assert f"ValueError: no stock of a, at tests/promises/{place})" in str(failed)
    assert failed.failed[0].error["place"].endswith(place)


@pytest.mark.parametrize(
    ("func", "named"), [(refused_in_a_group, refuse), (lambda e, c: wrong_json(), wrong_json)]
)
def test_the_line_is_the_users_own_in_groups_and_under_libraries(
    func: Any, named: Any, caplog: Any
) -> None:
    failures(agent_of(func), ONE)
    assert f"{line_of(named)}: " in logged(caplog)[0]


def test_a_long_message_of_many_lines_is_one_short_line(caplog: Any) -> None:
    def fails(event: Any, ctx: Any) -> None:
        raise ValueError(LONG_AND_MANY_LINES)

    failures(agent_of(fails), ONE)
    (line,) = logged(caplog)
    assert "ValueError: first second third x x" in line
    assert "\n" not in line
    assert len(line) < 700


def test_what_fails_equally_is_told_a_few_times_and_counted(caplog: Any) -> None:
    async def fails(event: Any, ctx: Any) -> None:
        if event.input["k"] == "other":
            raise KeyError("another failure")
        await ctx.durable_execute_async(refuse, event.input["k"])

    inputs = [{"k": f"{n}"} for n in range(40)]
    failures(agent_of(fails), [*inputs, {"k": "other"}])
    lines = logged(caplog)
    assert sum("action go failed at" in line for line in lines) == TOLD + 1
    assert any("KeyError: 'another failure'" in line for line in lines)
    counted = [line for line in lines if "37 more failed in the same way: ValueError at" in line]
    assert len(counted) == 1
    assert "perdure runs --status failed" in counted[0]
    assert len(lines) == TOLD + 2


def test_a_retry_that_will_be_made_is_a_warning_with_the_line(caplog: Any) -> None:
    config = {"error-handling-strategy": "retry", "max-retries": 1, "retry-wait-interval": 0.0}
    failures(agent_of(refused), ONE, config=config)
    (again,) = logged(caplog, logging.WARNING)
    assert re.search(rf"failed at \S*{line_of(refuse)}, trying again: ValueError: no stock", again)
    assert len(logged(caplog)) == 1


def test_equal_failures_are_told_again_after_a_while_with_those_that_were_not(caplog: Any) -> None:
    now = 0
    log = FailureLog("shop", lambda: now)
    failure = {"type": "builtins.ValueError", "message": "", "place": "a.py:1"}
    for _ in range(TOLD + 4):
        log.tell("run r1 of key 'a', action go", failure, is_final=True)
    now = int(WINDOW_SECONDS * 1e9)
    log.tell("run r9 of key 'a', action go", failure, is_final=True)
    log.close()
    lines = logged(caplog)
    assert len(lines) == TOLD + 2
    assert lines[TOLD].startswith("job 'shop': 4 more failed in the same way: ValueError at a.py:1")
    assert lines[-1] == "run r9 of key 'a', action go failed at a.py:1: ValueError"


# max-failures


async def sometimes(value: str, fails: bool) -> str:
    if fails:
        raise ValueError(f"no {value}")
    return value


FIXED: list[bool] = []


async def some_fail(event: Any, ctx: Any) -> None:
    fails = event.input["k"].startswith("bad") and not FIXED
    out(ctx, await ctx.durable_execute_async(sometimes, event.input["k"], fails))


def test_max_failures_stops_a_job_that_then_goes_on(tmp_path: Any) -> None:
    FIXED.clear()
    store = f"sqlite:///{tmp_path}/a.db"
    inputs = [{"k": f"bad{n}"} for n in range(30)]
    config = {"max-failures": 3, "max-runs-in-flight": 1}
    with pytest.raises(TooManyFailuresError) as stopped:
        run(agent_of(some_fail), inputs, store=store, config=config)
    text = str(stopped.value)
    assert "\n" not in text
    assert text.startswith("job 'default' was stopped: 3 runs failed, and max-failures = 3")
    assert "(the last: r3 of key 'bad2': ValueError: no bad2)" in text
    assert f"`perdure retry --all-failed --store {store} --job default` and run the same" in text
    assert len(LocalEngine(store).runs(status="failed")) == 3
    FIXED.append(True)
    with pytest.raises(RunsFailedError) as failed:  # the three of before; the others went on
        run(agent_of(some_fail), inputs, store=store, config={"max-failures": 1})
    assert len(failed.value.failed) == 3
    assert len(failed.value.outputs) == 27


def test_a_job_goes_on_whatever_fails_by_default() -> None:
    FIXED.clear()
    failed = failures(agent_of(some_fail), [{"k": f"bad{n}"} for n in range(50)] + [{"k": "good"}])
    assert [output.value for output in failed.outputs] == ["good"]


def test_max_failures_counts_no_run_that_is_tried_again() -> None:
    FIXED.clear()
    config = {
        "max-failures": 2, "error-handling-strategy": "retry", "max-retries": 5,
        "retry-wait-interval": 0.0,
    }  # fmt: skip
    failed = failures(agent_of(some_fail), [{"k": "bad"}, {"k": "good"}], config=config)
    assert len(failed.failed) == 1


# Keys


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("👩‍💻", "'👩‍💻'"),
        (("👩‍💻", 1), '["👩‍💻", 1]'),
        ("a\x1b[2J", "'a\\x1b[2J'"),
        (7, "7"),
        (_Odd(), "<_Odd>"),
    ],
)
def test_a_key_is_shown_in_one_way(key: Any, shown: str) -> None:
    assert quoted_key(key) == shown


def test_a_failed_runs_key_is_text_in_the_log_as_elsewhere(caplog: Any) -> None:
    failed = failures(agent_of(refused), [{"k": "👩‍💻"}])
    assert logged(caplog)[0].startswith("run r1 of key '👩‍💻', action go failed at ")
    assert "r1 of key '👩‍💻': " in str(failed)
