"""`perdure trace RUN --format ...`: a run as a file that others open."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.golden.data import BEGAN, DETAILS, LIVES, MS, S, call, detail

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, action
from perdure.cli import timeline as picture
from perdure.cli.main import main
from perdure.connectors.json_text import to_json
from perdure.run import RunStatus
from perdure.web.bundle import PAGE, bundle
from perdure.web.forms import detail_form
from perdure.web.perfetto import trace_events

HOSTILE = "</script><script>alert(1)</script><!-- \u202e\u2028 <img src=x onerror=alert(2)>"
Cli = Callable[..., tuple[int, str, str]]


async def echo(text: str) -> str:
    await asyncio.sleep(0.001)
    return text


class Echo(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        calls = [ctx.durable_execute_async(echo, f"{event.input} {n}") for n in range(3)]
        ctx.send_event(OutputEvent(output=await asyncio.gather(*calls)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'runs.db'}"
    LocalEngine(url, job="echo").run(Echo(), [HOSTILE, "x" * 70_000], key=len)
    return url


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capfdbinary.readouterr()
        return code, captured.out.decode(), captured.err.decode()

    return run


def test_json_is_the_detail_with_all_values_whole(cli: Cli, store: str) -> None:
    code, out, _ = cli("trace", "r2", "--store", store, "--format", "json")
    form = json.loads(out)
    assert code == 0
    assert form["run"]["id"] == "r2"
    assert form["run"]["input"] == {"value": "x" * 70_000}
    assert [call["status"] for call in form["actions"][0]["calls"]] == ["returned"] * 3


def test_a_file_is_written_where_it_is_said(cli: Cli, store: str, tmp_path: Path) -> None:
    file = tmp_path / "r1.json"
    code, out, err = cli("trace", "r1", "--store", store, "--format", "perfetto", "-o", str(file))
    assert (code, out) == (0, "")
    assert str(file) in err
    assert json.loads(file.read_text("utf-8"))["otherData"]["run"] == "r1"


@pytest.mark.parametrize("form", ["json", "html", "perfetto"])
def test_a_file_of_a_run_is_written_again_over_an_earlier_one(
    cli: Cli, store: str, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "run"
    file.touch()  # as mktemp makes one
    sizes = set()
    for run in ("r2", "r1"):
        code, *_ = cli("trace", run, "--store", store, "--format", form, "-o", str(file))
        assert code == 0
        sizes.add(file.stat().st_size)
    assert len(sizes) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["r1", "--format", "svg"], "give one of text, json, html, perfetto"),
        (["--job", "--format", "html"], "name it"),
        (["r1", "-o", "x.txt"], "redirect the text"),
        (["r1", "--format", "json", "-o", "/no/such/folder/x.json"], "there is no folder /no/such"),
    ],
)
def test_what_cannot_be_written_says_why(
    cli: Cli, store: str, arguments: list[str], says: str
) -> None:
    code, out, err = cli("trace", *arguments, "--store", store)
    assert code != 0
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def perfetto(calls: tuple[Any, ...], **more: Any) -> list[dict[str, Any]]:
    head = DETAILS["r3e9"].run
    form = detail_form(detail(head, calls, "completed", **more), LIVES)
    events: list[dict[str, Any]] = trace_events(json.loads(to_json(form)), "support")["traceEvents"]
    return events


def test_slices_of_a_track_are_within_each_other_or_apart() -> None:
    spans = [(0, 100), (10, 60), (50, 150), (60, 70), (150, 160), (20, 400)]
    calls = tuple(
        call(
            n,
            "shop:look_up",
            "returned",
            started_at=BEGAN + begin * MS,
            settled_at=BEGAN + end * MS,
        )
        for n, (begin, end) in enumerate(spans)
    )
    tracks: dict[int, list[tuple[float, float]]] = {}
    for event in perfetto(calls):
        if event["ph"] == "X":
            begin = event["ts"]
            tracks.setdefault(event["tid"], []).append((begin, begin + event["dur"]))
    assert len(tracks) > 4
    for slices in tracks.values():
        for one, two in itertools.combinations(sorted(slices, key=lambda s: (s[0], -s[1])), 2):
            assert two[0] >= one[1] or two[1] <= one[1], (one, two)


def test_a_crash_is_a_mark_over_all_tracks() -> None:
    marks = [event for event in perfetto(()) if event["ph"] == "i" and event["s"] == "g"]
    assert [mark["name"] for mark in marks] == ["process 4 begins: 3 was killed"]
    assert marks[0]["ts"] == (BEGAN + 2 * S) / 1000


def test_arrows_go_from_the_action_that_sent_to_the_one_that_was_triggered() -> None:
    events = perfetto((call(1, "shop:look_up", "returned"),))
    names = {
        event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"
    }
    ends = [(event["ph"], names[event["tid"]]) for event in events if event["ph"] in "sf"]
    assert ends == [("s", "read, event 0"), ("f", "decide_what_becomes_of_the_ticket, event 1")]


@pytest.mark.parametrize("marks", [picture._BLOCKS, picture._ASCII])
def test_a_crash_is_a_line_over_all_rows(marks: dict[str, str]) -> None:
    run = DETAILS["r3e9"]
    lines = [line.plain for line in picture.timeline(run, "support", 100, marks, LIVES)]
    row = next(line for line in lines if line.startswith("crash: process 4 begins"))
    column = row.index(marks["crash"])
    below = [line for line in lines[lines.index(row) + 1 :] if len(line) > column]
    bars = {marks["action"], marks["raised"], marks["returned"], marks["timer"]}
    assert {line[column] for line in below} <= {marks["over"], *bars}
    assert sum(line[column] == marks["over"] for line in below) >= 3


def test_a_crash_before_or_behind_the_run_is_not_drawn() -> None:
    run = DETAILS["r3e9"]
    assert run.run.status is RunStatus.FAILED
    first, last = run.span
    for at in (first - S, last + S):
        assert not picture._crash_rows(
            [LIVES[0], type(LIVES[0])(**{**_fields(LIVES[1]), "begun_at": at})], first, last
        )


def _fields(life: Any) -> dict[str, Any]:
    return {name: getattr(life, name) for name in life.__slots__}


# The HTML file


@pytest.fixture(scope="module")
def page(store: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "r1.html"
    assert main(["trace", "r1", "--store", store, "--format", "html", "-o", str(file)]) == 0
    return file.read_text("utf-8")


def test_no_value_ends_the_script_that_holds_it(page: str) -> None:
    assert page.count("</script>") == 2
    assert page.count("<script") == 2
    (data,) = re.findall(
        r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL
    )
    assert json.loads(data)["detail"]["run"]["input"] == {"value": HOSTILE}


def test_the_policy_names_its_script_and_style_and_allows_nothing_else(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for rule, text in (
        ("script-src", re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]),
        ("style-src", re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_it_asks_for_nothing(page: str) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!data:)|url\(|@import|\bfetch\(|import\(""", page)


def test_a_bundle_has_each_module_once_and_before_those_that_need_it() -> None:
    script = bundle("run/file.js")
    for module in (*(PAGE / "timeline").glob("*.js"), PAGE / "dom.js", PAGE / "run" / "sheet.js"):
        last = module.read_text("utf-8").rstrip().splitlines()[-1]
        assert last in script
    assert script.count("function layOut(") == 1
    assert script.index("class Axis") < script.index("new Axis(") < script.index("new RunSheet(")
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)


def test_a_module_in_another_form_is_refused(tmp_path: Path) -> None:
    for text in ('import * as x from "./y.js";\n', "export default 1;\n"):
        module = tmp_path / "odd.js"
        module.write_text(text)
        with pytest.raises(ValueError, match="stands alone"):
            bundle.__wrapped__(str(module))
