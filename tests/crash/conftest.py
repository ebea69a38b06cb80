"""What the crash tests share."""

from __future__ import annotations

import os
import random

import pytest

GIVEN_SEED = os.environ.get("PERDURE_TEST_SEED")  # read before tests are isolated


@pytest.fixture
def seed() -> int:
    """A seed to repeat a failure with: PERDURE_TEST_SEED."""
    value = int(GIVEN_SEED) if GIVEN_SEED else random.SystemRandom().randrange(1 << 32)
    print(f"PERDURE_TEST_SEED={value}")
    return value
