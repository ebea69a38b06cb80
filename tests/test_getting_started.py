"""docs/getting-started.md, run as it stands: from the built wheel, in a fresh environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.page_session import PROJECT, Shown, fresh_environment, likened, run_page

PAGE = PROJECT / "docs" / "getting-started.md"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    environment = fresh_environment(tmp_path_factory.mktemp("environment"), "[llm]")
    return list(run_page(PAGE, tmp_path_factory.mktemp("tickets"), environment))


def test_getting_started_runs_as_shown(shown: list[Shown]) -> None:
    assert shown
    for each in shown:
        assert likened(each.printed) == likened(each.block["body"]), each.printed


def test_getting_started_asks_nothing_twice_that_was_answered(shown: list[Shown]) -> None:
    printed = "\n".join(each.printed for each in shown).splitlines()
    asked = [line for line in printed if line.startswith("asked:")]
    paid = [line for line in printed if line.startswith("paid:")]
    assert len(asked) == 4 + 3  # three were under way at the kill
    assert len(paid) == len(set(paid)) == 2


def test_what_is_fresh_has_no_more_than_it_needs(tmp_path: Path) -> None:
    (packages,) = fresh_environment(tmp_path).glob("lib/python*/site-packages")
    assert (packages / "perdure" / "py.typed").exists()
    assert not (packages / "perdure").is_symlink()
    assert (packages / "msgspec").exists()
    assert not (packages / "pytest").exists()
