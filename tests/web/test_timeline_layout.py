"""What a timeline is laid out like: the cases of timeline_cases.js, in node or else in Chromium."""

from __future__ import annotations

import functools
import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.patience import PATIENCE

CASES = Path(__file__).with_name("timeline_cases.js")
NAMES = re.findall(r'^  "(.+)"\(\) \{$', CASES.read_text("utf-8"), re.MULTILINE)
SCRIPT = 'import {{ results }} from "{}"; const found = JSON.stringify(results()); {}'


@functools.cache
def results() -> dict[str, str | None]:
    """Run all cases, once a process."""
    if node := shutil.which("node"):
        script = SCRIPT.format(CASES.as_uri(), "console.log(found);")
        command = [node, "--input-type=module", "-e", script]
        found = _output(command)
    elif browser := shutil.which("chromium"):
        script = SCRIPT.format(CASES.as_uri(), "document.body.textContent = found;")
        flags = ["--headless", "--no-sandbox", "--allow-file-access-from-files", "--dump-dom"]
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "cases.html")
            page.write_text(f"<body><script type=module>{script}</script>", "utf-8")
            shown = _output([browser, *flags, f"--user-data-dir={folder}/profile", page.as_uri()])
        found = html.unescape(re.sub(r"<[^>]+>", "", shown))
    else:
        pytest.skip("neither node nor chromium is here: the timeline's layout is not tested")
    read: dict[str, str | None] = json.loads(found)
    return read


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_timeline(name: str) -> None:
    wrong = results()[name]
    assert wrong is None, wrong


def test_all_cases_are_run() -> None:
    assert sorted(results()) == sorted(NAMES)
