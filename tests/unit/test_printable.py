"""Nothing from outside acts in a terminal or a log: what would act is shown as text."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, action
from perdure.cli.main import main
from perdure.errors import RunsFailedError
from perdure.printable import (
    json_text,
    printable,
    printable_logger,
    quoted_key,
    shell_word,
    shown_key,
)

EVIL = "\x1b[31mRED\x1b]0;title\x07\x1b[2J\x9b31m\r\b\x7f\u202eback\u2028"
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"), ("\x9b31m", "\\x9b31m"), ("a\r\nb", "a\\r\\nb"),
        ("\u202e", "\\u202e"), ("\ud800", "\\ud800"), ("\x7f", "\\x7f"),
        ("plain ünïcode 漢", "plain ünïcode 漢"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),  # a joiner is part of an emoji
    ],
)  # fmt: skip
def test_what_would_act_is_shown_as_its_number(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_and_tabs_stay_where_lines_are_meant() -> None:
    assert printable("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"


def test_g21_json_with_escapes_is_the_same_json() -> None:
    text = json.dumps({EVIL: [EVIL, "\ud800", "é"]}, ensure_ascii=False)
    assert not ACTING.search(json_text(text))
    assert json.loads(json_text(text)) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["plain", "two words", "it's\n", "\x1b[31m\x9b\x07a", "back\\slash\n'\u2028'é$HOME\t1"]
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_g21_a_word_of_a_command_is_one_line_and_what_it_was_to_a_shell(text: str) -> None:
    word = shell_word(text)
    assert printable(word) == word
    told = subprocess.run(
        ["bash", "-c", f"printf %s {word}"],
        stdout=subprocess.PIPE, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert told.stdout.decode() == text


def test_a_key_is_shown_one_way() -> None:
    family = "👩\u200d👧"
    assert (shown_key(family), quoted_key(family)) == (family, f"'{family}'")
    assert shown_key(["a", 1]) == quoted_key(["a", 1]) == '["a", 1]'
    assert shown_key("k" * 200).endswith("…")
    error = RunsFailedError(
        failed=[_Failed(id="r1", title="r1", key=family, error={"type": "E", "message": EVIL})]
    )
    assert f"key '{family}'" in str(error)
    assert not ACTING.search(str(error))


class _Failed:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def test_g21_log_records_are_printable_before_any_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = printable_logger("perdure")
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        logger.exception("%s: %s and %r, %d", EVIL, error, EVIL, 3)
    logger.error(EVIL)
    assert not ACTING.search(caplog.text)
    assert caplog.records[0].msg == "%s: %s and %r, %d"  # the template tells kinds apart


def test_every_logger_of_the_package_is_printable() -> None:
    source = Path(__file__).parents[2] / "src" / "perdure"
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"^logger = logging", path.read_text("utf-8"), re.MULTILINE)
    }
    assert not found


class Evil(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        ctx.set_status(EVIL)
        ctx.logger.warning("%s", EVIL)
        await ctx.durable_execute_async(echo, EVIL)
        ctx.short_term_memory.set("a", EVIL)
        ctx.send_event(Event(type="heard", attributes={"text": EVIL}))
        ctx.send_event(OutputEvent(output=EVIL))

    @action("heard")
    async def hear(self, event: Event, ctx: Any) -> None:
        with pytest.raises(TimeoutError):
            await ctx.wait_for_signal("wait" + EVIL, timeout=0.01)
        await ctx.durable_execute_async(fail, EVIL)


async def echo(text: str) -> str:
    return text


async def fail(text: str) -> None:
    raise ValueError(text)


@pytest.fixture(scope="module")
def evil_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('evil') / 'evil.db'}"

    async def fill() -> None:
        async with LocalEngine(url, job="job" + EVIL).open(Evil) as job:
            run = await job.submit({"x": EVIL}, key="key" + EVIL, id="id" + EVIL)
            await run.signal("sent" + EVIL, EVIL)
            await run.wait()

    asyncio.run(fill())
    return url


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs"], ["runs", "--json"], ["show", "r1"], ["show", "r1", "--json"], ["trace", "r1"],
        *(["trace", "r1", "--format", form] for form in ("json", "html", "perfetto")),
        ["retry", "r1"], ["cancel", "r1"], ["signal", "r1", "name" + EVIL, EVIL], ["show", EVIL],
        ["runs", "--job", EVIL], ["runs", "--status", EVIL], ["--debug", "show", EVIL],
    ],
    ids=lambda arguments: " ".join(arguments)[:10],
)  # fmt: skip
def test_g21_no_command_prints_what_acts(
    evil_store: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*arguments, "--store", evil_store])
    shown = capsys.readouterr()
    assert not ACTING.search(shown.out + shown.err)
    assert shown.out or shown.err
    if "--json" in arguments:
        assert (
            EVIL in json.dumps(json.loads(shown.out), ensure_ascii=False)
            or json.loads(shown.out)["run" if "show" in arguments else "job"]
        )


def test_g21_a_run_from_the_command_line_prints_nothing_that_acts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = tmp_path / "evil_agent.py"
    agent.write_text(
        "from perdure import Agent, InputEvent, OutputEvent, action\n"
        "class A(Agent):\n"
        "    @action(InputEvent)\n"
        "    async def go(self, event, ctx):\n"
        "        ctx.send_event(OutputEvent(output=event.input['x']))\n"
        "        if event.input['fails']:\n"
        "            raise ValueError(event.input['x'])\n"
    )
    lines = [json.dumps({"id": f"{n}{EVIL}", "x": EVIL, "fails": n}) for n in range(2)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    code = main(["run", "evil_agent.py:A", "--input", "in.jsonl", "--key", "id"])
    shown = capsys.readouterr()
    assert code == 1
    assert json.loads(shown.out) == EVIL  # the output, on the terminal
    assert not ACTING.search(shown.out + shown.err)
