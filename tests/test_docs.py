"""README and docs: programs run as shown, links lead somewhere, promises name tests that exist.

In a page, ```python is a complete program: it runs in an empty folder, and a ```text block right
after it is what it prints. What a fragment needs around it is in a comment before it, which readers
do not see: `<!-- run as`, a program, `-->`; the fragment takes the place of the program's line
`# block`, or comes at its end. A page that is a session (page_session.py) is run by a test of its
own.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest
from tests import zygote
from tests.patience import PATIENCE

from perdure.config.configuration import all_options

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in (".", "docs", "examples", "benchmarks")
    for page in PROJECT.glob(f"{folder}/*.md" if folder in (".", "docs") else f"{folder}/**/*.md")
)
LIMIT_SECONDS = PATIENCE
# What libraries still use and Python 3.14 deprecates.
DEPRECATED = "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_AROUND = re.compile(r"<!-- run as\n(?P<program>(?:(?!-->).)*)-->\s*\Z", re.DOTALL)
_PLACE = re.compile(r"^(?P<indent> *)# block$", re.MULTILINE)
_HEADING = re.compile(r"^#+ +(?P<title>.+?)\s*$", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block of a page."""

    place: str
    info: str
    body: str
    prints: str | None  # what the ```text block right after it says


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def blocks_of(page: Path) -> Iterator[Block]:
    text = text_of(page)
    found = list(_FENCE.finditer(text))
    for fence, following in zip_longest(found, found[1:]):
        prints = None
        if following is not None and following["info"].strip() == "text":
            if not text[fence.end() : following.start()].strip():
                prints = following["body"]
        line = text.count("\n", 0, fence.start()) + 1
        place = f"{page.relative_to(PROJECT)}:{line}"
        around = _AROUND.search(text, 0, fence.start())
        body = fence["body"] if around is None else program_of(around["program"], fence["body"])
        yield Block(place, fence["info"].strip(), body, prints)


def program_of(around: str, fragment: str) -> str:
    """Put a fragment into the program that a comment before it holds."""
    place = _PLACE.search(around)
    if place is None:
        return f"{around}\n\n{fragment}"
    inserted = textwrap.indent(fragment, place["indent"])
    return around[: place.start()] + inserted + around[place.end() :]


def without_fences(page: Path) -> str:
    return _FENCE.sub("", text_of(page))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SESSIONS = ("docs/getting-started.md:",)
PROGRAMS = [b for b in BLOCKS if b.info == "python" and not b.place.startswith(SESSIONS)]
FRAGMENTS = [block for block in BLOCKS if block.info == "python notest"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess]:
    """All programs, run side by side, each in a folder and a process of its own."""

    def run(block: Block, folder: Path) -> tuple[str, subprocess.CompletedProcess]:
        (folder / "program.py").write_text(block.body, "utf-8")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PERDURE_")}
        command = [sys.executable, "-W", "error", "-W", DEPRECATED, "program.py"]
        done = zygote.run(command, cwd=folder, env=environment, timeout=LIMIT_SECONDS)
        return block.place, done

    with ThreadPoolExecutor(4) as pool:
        folders = [tmp_path_factory.mktemp("program") for _ in PROGRAMS]
        return dict(pool.map(run, PROGRAMS, folders))


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_program_runs_as_shown(
    block: Block, results: dict[str, subprocess.CompletedProcess]
) -> None:
    done = results[block.place]
    assert done.returncode == 0, done.stderr
    if block.prints is not None:
        assert done.stdout == block.prints, done.stderr


def test_no_two_programs_share_a_store() -> None:
    """Whoever pastes one after another into a folder must not be given outputs of the first."""
    users: dict[str, list[str]] = {}
    for block in PROGRAMS:
        stores = set(re.findall(r"sqlite:///[\w./]+", block.body))
        stores |= {"the default"} if re.search(r"LocalEngine\((?!\S*\")", block.body) else set()
        for store in stores:
            users.setdefault(store, []).append(block.place)
    assert "sqlite:///reviews.db" in users
    assert {store: places for store, places in users.items() if len(places) > 1} == {}


def test_every_block_of_python_runs() -> None:
    """But for those that need a cluster of Flink: tests of their own run such jobs."""
    left_out = [block.place for block in FRAGMENTS if not block.place.startswith("docs/flink.md:")]
    assert not left_out, "say in a `<!-- run as` comment what they need around them"
    for block in FRAGMENTS:
        ast.parse(textwrap.dedent(block.body))


def test_readme_begins_with_a_program() -> None:
    readme = [block for block in PROGRAMS if block.place.startswith("README.md:")]
    assert readme, "the README shows no program that runs"
    assert readme[0].prints, "the README's program does not show what it prints"


def test_every_block_says_what_it_is() -> None:
    known = {"python", "python notest", "sh", "sh notest", "text", "yaml", "json", "toml"}
    unknown = [f"{block.place}: {block.info!r}" for block in BLOCKS if block.info not in known]
    assert not unknown


def slug(title: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True  # another site: not looked up here
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or not file.is_relative_to(PROJECT):
        return False
    return not anchor or anchor in {slug(h["title"]) for h in _HEADING.finditer(text_of(file))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    targets = [match["target"] for match in _LINK.finditer(without_fences(page))]
    broken = [target for target in targets if not leads_somewhere(page, target)]
    assert not broken, f"links that lead nowhere: {broken}"


def test_promises_name_tests_that_exist() -> None:
    sources = "\n".join(file.read_text("utf-8") for file in PROJECT.glob("tests/**/test_*.py"))
    named = re.findall(r"`-k (g\d+_)`", text_of(PROJECT / "docs" / "guarantees.md"))
    assert named
    missing = [name for name in named if not re.search(rf"def test_(g\d+_)*{name}", sources)]
    assert not missing, f"docs/guarantees.md names tests that do not exist: {missing}"


def test_each_promise_names_the_test_to_read_first() -> None:
    page = text_of(PROJECT / "docs" / "guarantees.md")
    promises = re.findall(r"^\*\*(G\d+) ", page, re.MULTILINE)
    leading = re.findall(r"`-k (g\d+)_`; first \[(test_\w+)\]\(\.\./([\w/.]+)\)", page)
    assert len(promises) >= 28
    assert [promise.lower() for promise in promises] == [number for number, _, _ in leading]
    for number, name, file in leading:
        assert f"_{number}_" in name
        assert f"def {name}(" in text_of(PROJECT / file)


def test_settings_exist() -> None:
    known = {option.name for option in all_options()}
    named = [
        (page.name, key)
        for page in PAGES
        for key in re.findall(r"--set ([\w.\-]+)=", text_of(page))
        if not key.startswith(("agent.", "limits.")) and key not in ("KEY",)
    ]
    unknown = [(page, key) for page, key in named if key not in known]
    assert not unknown
