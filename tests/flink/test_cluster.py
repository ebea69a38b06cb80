"""A cluster of processes: two TaskManagers, one of which is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flink.killed import PYTHON_PATH, Killing
from tests.flink.reviews import EXAMPLE, SAMPLE, by_key, given, on_cluster, on_sqlite

from perdure.testing import FlinkCluster


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers say which calls they make."""
    return tmp_path_factory.mktemp("calls") / "calls"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> Iterator[FlinkCluster]:
    folder = tmp_path_factory.mktemp("cluster") / "flink"
    environ = {"PERDURE_TEST_CALLS": str(calls)}
    with FlinkCluster(folder, python_path=PYTHON_PATH, environ=environ) as cluster:
        yield cluster


def test_g29_a_cluster_gives_what_the_local_engine_gives_byte_for_byte(
    cluster: FlinkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    reviews = given(SAMPLE)
    assert by_key(on_cluster(cluster, reviews, tmp_path)) == by_key(on_sqlite(reviews, tmp_path))


def test_g29_killed_task_managers_cost_no_output_and_double_none(
    cluster: FlinkCluster, tmp_path: Path, calls: Path
) -> None:
    job = Killing(cluster, tmp_path, calls)
    job.run(records=1600, kills=2, seconds=1, a_checkpoint=100)
    assert list(job.wrong()) == []
