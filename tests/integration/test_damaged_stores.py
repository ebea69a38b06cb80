"""A store that is damaged at random gives the right outputs, or an error that names it (G23)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.damaged_stores import Bases, examine

SEEDS = 200  # `make soak` has 2,000
PARTS = 10


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.parametrize("part", range(PARTS))
def test_g23_a_damaged_store_is_named_or_does_no_harm(
    part: int, bases: Bases, tmp_path: Path
) -> None:
    for seed in range(part, SEEDS, PARTS):
        examine(seed, bases, tmp_path / str(seed))
