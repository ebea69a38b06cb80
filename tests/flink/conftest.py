"""The tests that need Flink: `make test-flink` runs them, in an environment that has it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

HAS_FLINK = importlib.util.find_spec("pyflink") is not None
if HAS_FLINK:
    from perdure.flink_agents import install

    install()  # `flink_agents` is what is here, for agents of theirs

# The other tests run where Flink is not installed, and say so (`make test`).
collect_ignore_glob = [] if HAS_FLINK else ["test_*.py"]

IGNORED = (
    "DeprecationWarning",
    "PendingDeprecationWarning",
    "FutureWarning",
    "ResourceWarning",
    "pytest.PytestUnraisableExceptionWarning",  # of a ResourceWarning
    "pytest.PytestUnhandledThreadExceptionWarning",  # of Beam's, when a job ends
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what Flink's own packages do pass: they are not ours to mend."""
    for item in items:
        if "tests/flink/" in str(item.path):
            for ignored in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{ignored}"))


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_open() -> None:
    """Pass over what the other tests look at: PyFlink leaves its JVM, and sockets to it, open."""


@pytest.fixture(scope="session", autouse=True)
def _java_home() -> Iterator[None]:
    """Leave the variables of this process as they were."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JAVA_HOME", "FLINK_HOME", "FLINK_CONF_DIR", "FLINK_LOG_DIR"):
            patch.delenv(name, raising=False)
        yield
