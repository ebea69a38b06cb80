"""A page that is a session: its files are saved, then its commands are run in order.

In such a page a ```python or ```json block is the file that is named last in backquotes before it.
All ```sh blocks are run by one bash in one folder, and a ```text block right after one is what it
prints; ```sh notest is for a reader alone. `python -m tests.page_session PAGE.md` runs a page in a
fresh environment, from the built wheel, and writes into it what was printed.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_PATIENCE = 1200.0  # seconds: a page starts some twenty processes
_END = "-- end of block --"
# What bash and a slow machine add, and what differs from one time to the next.
_SEEN = re.compile(
    r", \d+ finished before"
)  # a run may end just before its input is read, or after
_ADDED = re.compile(r"^(bash: line \d+: +\d+ Killed|[^\n:]+: \d+/\d+ done ·).*\n", re.MULTILINE)
_UNFINISHED = re.compile(r"\b(queued|running) ")  # a run that has just begun may be seen as either
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d+(\.\d+)? (ms|s|m|min|h)\b( \d+ s\b)?")


class Shown(NamedTuple):
    """What a page shows as printed, and what was."""

    block: re.Match[str]
    printed: str

    def differs(self) -> bool:
        return likened(self.block["body"]) != likened(self.printed)


def likened(printed: str) -> list[str]:
    """Return the lines of what was printed, without times and the widths that come of them."""
    lines = (
        _SEEN.sub("", _UNFINISHED.sub("running ", _TIME.sub("TIME", printed)))
        .replace("─", "")
        .splitlines()
    )
    return [" ".join(line.split()) for line in lines]


def run_page(page: Path, folder: Path, environment: Path) -> Iterator[Shown]:
    """Run a page, and yield what it shows as printed beside what was.

    Args:
        page: The page.
        folder: An empty one, to run it in.
        environment: What `fresh_environment` made.
    """
    text = page.read_text("utf-8")
    blocks = list(_FENCE.finditer(text))
    commands: list[str] = []
    shown: list[re.Match[str] | None] = []
    for block, following in zip_longest(blocks, blocks[1:]):
        if block["info"] in ("python", "json"):
            named = re.findall(r"`(\w+\.\w+)`", text[: block.start()])
            (folder / named[-1]).write_text(block["body"], "utf-8")
        elif block["info"] == "sh":
            commands.append(f"{block['body']}echo '{_END}'\n")
            prints = following is not None and following["info"] == "text"
            shown.append(following if prints else None)
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PERDURE_")}
    variables["PATH"] = f"{environment / 'bin'}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "".join(commands)], cwd=folder, text=True, encoding="utf-8",
        env={**variables, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_PATIENCE,
    )  # fmt: skip
    printed = done.stdout.split(f"{_END}\n")[:-1]
    assert len(printed) == len(shown), done.stdout
    for block_shown, said in zip(shown, printed, strict=True):
        if block_shown is not None:
            yield Shown(block_shown, _ADDED.sub("", said))


def fresh_environment(folder: Path, extras: str = "") -> Path:
    """Make an environment with perdure's built wheel and what that says it needs, and no more.

    The needed packages are those of the environment that runs this: nothing is downloaded.

    Args:
        folder: Where it is made.
        extras: Such as "[llm]".
    """
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=PROJECT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    made = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    (packages,) = made.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (info,) = packages.glob("perdure-*.dist-info")
    needed = importlib.metadata.Distribution.at(info)
    for distribution in _closure(needed, Requirement(f"perdure{extras}").extras):
        for file in distribution.files or ():
            top = packages / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not top.exists():
                top.symlink_to(distribution.locate_file(file.parts[0]))
    (command,) = needed.entry_points
    script = made / "bin" / command.name
    lines = f"#!{made}/bin/python\nimport sys\nfrom {command.module} import {command.attr}\n"
    script.write_text(f"{lines}sys.exit({command.attr}())\n", "utf-8")
    script.chmod(0o755)
    return made


def _closure(
    distribution: importlib.metadata.Distribution, extras: set[str]
) -> Iterator[importlib.metadata.Distribution]:
    """Yield what a distribution requires, and what that does, each perhaps more than once."""
    seen: set[tuple[str, str]] = set()
    pending = [(distribution, extra) for extra in ("", *extras)]
    while pending:
        wanting, extra = pending.pop()
        for line in wanting.requires or ():
            required = Requirement(line)
            if required.marker is not None and not required.marker.evaluate({"extra": extra}):
                continue
            for wanted in ("", *required.extras):
                if (required.name.lower(), wanted) not in seen:
                    seen.add((required.name.lower(), wanted))
                    found = importlib.metadata.distribution(required.name)
                    pending.append((found, wanted))
                    yield found


def write_page(page: Path) -> None:
    """Run a page and write what was printed into it."""
    with tempfile.TemporaryDirectory() as place:
        environment, folder = Path(place, "environment"), Path(place, "page")
        environment.mkdir()
        folder.mkdir()
        shown = list(run_page(page, folder, fresh_environment(environment, "[llm]")))
    text = page.read_text("utf-8")
    for each in reversed([each for each in shown if each.differs()]):
        text = text[: each.block.start("body")] + each.printed + text[each.block.end("body") :]
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
