"""G6, G23: golden journals of other libraries' agents, which take seconds to import."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.replay.libraries import SCENARIOS
from tests.replay.make_journals import FROZEN
from tests.replay.replaying import WAYS, check_goes_on, check_writes_the_same


@pytest.mark.parametrize(("version", "name", "how"), [way for way in WAYS if way[1] in SCENARIOS])
def test_g6_the_runs_of_a_golden_journal_go_on(
    version: int, name: str, how: str, tmp_path: Path, no_noise: None
) -> None:
    check_goes_on(version, name, how, tmp_path)


# LangGraph goes on with its callbacks where a run is forgotten, on a loop that is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - FROZEN))
def test_g23_this_version_writes_the_same_journals(name: str, tmp_path: Path) -> None:
    check_writes_the_same(name, tmp_path)
