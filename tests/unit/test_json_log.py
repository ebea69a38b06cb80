"""A log record as a line of JSON, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure import JsonLogFormatter
from perdure.cli.log_format import LogFormat, log_written, told_in_log
from perdure.cli.main import main

HOSTILE = "\x1b]0;title\x07 \u202e gpj\u2028\u2029\x00\x85\ud800 <script>"


def line_of(message: Any, *args: Any, exc_info: Any = None, **extra: Any) -> str:
    record = logging.getLogger("shop").makeRecord(
        "shop", logging.WARNING, "f.py", 1, message, args, exc_info, extra=extra
    )
    return JsonLogFormatter().format(record)


def form_of(*args: Any, **kwargs: Any) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(line_of(*args, **kwargs))
    return form


def acts(value: Any) -> bool:
    """Whether anything in a value that was read from JSON acts in a terminal."""
    if isinstance(value, dict):
        return any(acts(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(map(acts, value))
    return isinstance(value, str) and not value.replace("\n", "").replace("\t", "").isprintable()


def test_a_record_is_one_line_with_its_fields() -> None:
    form = form_of("no stock: %s", "B01", shelf=7, run="r1", job="shop", key=3, action="act")
    assert form.pop("time").endswith("Z")
    assert form == {
        "level": "warning", "logger": "shop", "message": "no stock: B01",
        "job": "shop", "run": "r1", "key": 3, "action": "act", "shelf": 7,
    }  # fmt: skip


def test_hostile_values_do_nothing_also_when_the_json_is_read() -> None:
    line = line_of(f"{HOSTILE}\nsecond", key=HOSTILE, **{"own": {HOSTILE: [HOSTILE]}, HOSTILE: 1})
    assert line.isprintable()
    form = json.loads(line)
    assert not acts(form)
    assert form["message"].endswith("\nsecond")
    assert "\\x1b]0;title" in form["message"]
    assert line.encode()  # and it has no half of a character


def test_an_exception_is_a_field() -> None:
    try:
        raise KeyError(HOSTILE)
    except KeyError:
        line = line_of("it failed", exc_info=sys.exc_info())
    assert line.isprintable()
    error = json.loads(line)["error"]
    assert not acts(error)
    assert error["type"] == "KeyError"
    assert "test_an_exception_is_a_field" in error["traceback"]
    assert error["traceback"].startswith("Traceback")


class Strange:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class StrangeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_no_value_keeps_a_line_from_being_written() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    form = form_of(
        "%s", 1, circle=circle, deep=deep, nan=float("nan"), huge=10**5000, data=b"\x1b",
        strange=Strange(), keys={Strange(): 1}, level="mine", time=2, many=list(range(10**5)),
    )  # fmt: skip
    assert form["level"] == "warning"
    assert form["nan"] == "nan"
    assert form["strange"] == "<Strange>"
    assert form["keys"] == {"<Strange>": 1}
    assert len(form["many"]) == 1000
    failed = form_of("broken", exc_info=(StrangeError, StrangeError(), None))
    assert failed["error"]["message"] == "<StrangeError>"
    assert "do not fit" in form_of("%d of %s", "x")["message"]
    assert "do not fit" in form_of("%s", Strange())["message"]
    assert form_of(Strange())["message"].startswith("<Strange> ")


def test_ten_megabytes_are_one_line() -> None:
    assert "\n" not in line_of("x\n" * 5_000_000)


def test_the_log_of_a_command_is_json_and_put_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(root := logging.getLogger(), "handlers", [])  # nobody has set it up
    with log_written(LogFormat.JSON):
        logging.getLogger("perdure.run.r1.act").info("of an action")
        told_in_log("job 'x'\nis open")
        logging.getLogger("library").warning("of a library")
        logging.getLogger("library").info("too little to say")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    said = ["of an action", "job 'x'\\nis open", "of a library"]
    assert [each["message"] for each in lines] == said
    assert (root.handlers, logging.getLogger("perdure").level) == ([], logging.NOTSET)


def test_a_logging_that_was_set_up_keeps_its_levels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(logging.getLogger(), "handlers", [own])
    own.setLevel(logging.ERROR)
    own.setFormatter(plain := logging.Formatter("%(message)s"))
    with log_written(LogFormat.JSON):
        logging.getLogger("library").warning("too little")
        logging.getLogger("library").error("enough")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "enough"
    assert own.formatter is plain


AGENT = """
import logging
from perdure import Agent, InputEvent, action

class Clerk(Agent):
    @action(InputEvent)
    async def look(self, event, ctx):
        ctx.logger.info("looks at %s", event.input["id"])
        logging.getLogger("shop").warning("by hand")
        raise ValueError("a\\x1b[31m")
"""


@pytest.mark.parametrize("by_environment", [False, True])
def test_perdure_run_writes_its_log_as_json(
    by_environment: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "clerk_of_tests", raising=False)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    (tmp_path / "clerk_of_tests.py").write_text(AGENT, "utf-8")
    (tmp_path / "in.jsonl").write_text('{"id": "B01"}\n', "utf-8")
    given = [] if by_environment else ["--log-format", "json"]
    if by_environment:
        monkeypatch.setenv("PERDURE_LOG_FORMAT", "json")
    code = main(["run", "clerk_of_tests.py", "--input", "in.jsonl", "--key", "id", *given])
    sys.modules.pop("clerk_of_tests", None)
    assert code == 1
    lines = [each for each in capsys.readouterr().err.splitlines() if each.startswith("{")]
    forms = {each["message"]: each for each in map(json.loads, lines)}
    for message in ("looks at B01", "by hand"):
        found = [forms[message][name] for name in ("run", "key", "action")]
        assert found == ["r1", "B01", "look"], message
    (failure,) = (each for each in forms.values() if "failed at" in each["message"])
    assert (failure["level"], failure["key"], failure["action"]) == ("error", "B01", "look")
    assert "a\\x1b[31m" in failure["message"]
