"""Wordings that messages share: what is not installed, and which name was meant."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from perdure.errors import ConfigurationError, did_you_mean, missing_extra, nearest

ROOT = Path(__file__).parents[2]


def sources() -> dict[str, str]:
    folder = ROOT / "src" / "perdure"
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.py")}


def test_what_is_not_installed_is_said_in_one_way() -> None:
    error = missing_extra("DurableGraph", "langgraph", ImportError("No module named 'langgraph'"))
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        "DurableGraph needs the extra `langgraph`: pip install 'perdure[langgraph]'"
        " (No module named 'langgraph')"
    )


def test_every_extra_that_a_message_names_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {
        extra
        for text in sources().values()
        for extra in re.findall(r'missing_extra\([^()]*, "([^"]+)", \w+\)', text)
    }
    # `examples` holds what examples import themselves.
    assert named == set(project["optional-dependencies"]) - {"examples"}


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("pip install 'perdure[", {"errors.py", "cli/doctor.py"}),
        ("get_close_matches", {"errors.py"}),
    ],
)
def test_it_is_worded_in_one_place(said: str, where: set[str]) -> None:
    assert {name for name, text in sources().items() if said in text} == where


def test_the_nearest_name_is_meant() -> None:
    known = ["timeout", "retries"]
    assert did_you_mean("timeuot", known, "there is none") == "did you mean timeout?"
    assert did_you_mean("timeuot", known, "", repr) == "did you mean 'timeout'?"
    assert did_you_mean("other", known, "there is none") == "there is none"
    assert nearest("retrys", known) == "retries"
    assert nearest("retrys", known, cutoff=0.95) is None
    assert nearest("x", []) is None
