"""What crosses to an agent in Flink, worker processes, and what is refused before a job is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.patience import PATIENCE

import perdure.engine.flink.engine as module
from perdure import ConfigurationError, FlinkEngine, LocalEngine
from perdure.codec.codec import Codec
from perdure.engine.flink import orphans
from perdure.engine.flink.elements import Elements, ticks
from perdure.engine.flink.failures import FailedRun, encode_failure, read_failure
from perdure.engine.flink.loopback import at_end_of_threads
from perdure.engine.flink.rows import load
from perdure.engine.flink.spec import FunctionSpec, shard_of

SPEC = FunctionSpec(agent="tests.unit.flink_agents:Plain", job="shop", shards=16)


class Row(list[Any]):
    """As Flink's, as far as it is looked at."""

    def as_dict(self, recursive: bool) -> dict[str, Any]:
        assert recursive
        return dict(zip(self._fields, self, strict=True))


@pytest.fixture(autouse=True)
def pyflink(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at of pyflink, where it is not installed."""
    common = ModuleType("pyflink.common")
    common.Row = Row  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyflink", ModuleType("pyflink"))
    monkeypatch.setitem(sys.modules, "pyflink.common", common)


def test_an_element_has_the_shard_of_its_key_and_both_as_bytes_of_the_codec() -> None:
    value = {"key": ("a", 1), "id": 7, "text": "x"}
    shard, data = Elements(SPEC, "key", "id").of(value)
    assert shard == shard_of(("a", 1), 16)
    id_, key, encoded = load(data)
    assert id_ == "7"
    assert Codec().decode(key) == ("a", 1)
    assert Codec().decode(encoded) == value


def test_without_an_id_there_is_none() -> None:
    assert load(Elements(SPEC, len, None).of("text")[1])[0] is None


def test_a_row_reaches_the_agent_as_a_dict() -> None:
    row = Row(["k", "i"])
    row._fields = ["key", "id"]  # type: ignore[attr-defined]
    encode = Codec().encode
    _, data = Elements(SPEC, "key", "id").of(row)
    assert load(data) == ["i", encode("k"), encode({"key": "k", "id": "i"})]
    assert load(Elements(SPEC, len, None).of(Row([1, 2]))[1])[2] == encode([1, 2])


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ({"id": "1"}, "InputError", "has no field 'key' for the key"),
        ({"key": 1, "id": None}, "InputError", "has the id None: an id is a text or an integer"),
        ({"key": 1, "id": ""}, "InputError", "has the id ''"),
        ({"key": 1, "id": True}, "InputError", "has the id True"),
        ({"key": object, "id": "1"}, "EncodeError", "type"),
        ({"key": 1, "id": "1", "more": object()}, "EncodeError", "object"),
    ],
)
def test_what_is_no_input_becomes_a_failure_and_fails_nothing(
    value: Any, kind: str, expected: str
) -> None:
    shard, data = Elements(SPEC, "key", "id").of(value)
    _, key, failure = load(data)
    assert (shard, key) == (0, None)
    failed = read_failure(failure)
    assert failed.error_type == f"perdure.errors.{kind}"
    assert expected in failed.error
    assert failed.run is None


def test_there_is_a_tick_for_each_shard() -> None:
    assert list(ticks(SPEC)) == [(shard, b"") for shard in range(16)]


def test_a_failure_reads_back() -> None:
    data = encode_failure(
        Codec(), id="1", run="r1", key=("a",), value={"b": 1}, error=ValueError("no \udcff")
    )
    told = read_failure(data)
    assert told == FailedRun(
        id="1", run="r1", key=("a",), value={"b": 1}, error_type="ValueError", error="no \udcff"
    )
    shown = read_failure(
        encode_failure(Codec(), id=None, run=None, key=1, value=object, error=KeyError("x"))
    )
    assert shown.value == "<class 'object'>"


def engine(**arguments: Any) -> FlinkEngine:
    return FlinkEngine(**arguments)


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("sqlite:///a.db", "a file belongs to one process"),
        ("a.db", "a file belongs to one process"),
        ("postgresql://me:secret@host/db", r"store 'host/db' cannot be used on Flink: a later"),
        ("redis://host", "it is not known"),
    ],
)
def test_a_store_that_flink_cannot_have_is_refused(store: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as refusal:
        engine(store=store)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_flinks_state_is_no_store_of_the_local_engine() -> None:
    with pytest.raises(ConfigurationError, match="is the state of a Flink job: use it with Flink"):
        LocalEngine(store="flink://")


@pytest.mark.parametrize("shards", [0, -1, True, 1.5, 1 << 16])
def test_a_wrong_number_of_shards_is_refused(shards: Any) -> None:
    with pytest.raises(ConfigurationError, match="shards is"):
        engine(shards=shards)


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="num-asinc-threads"):
        engine(config={"num-asinc-threads": 1})
    with pytest.raises(ConfigurationError, match="ids_ttl=0 is no positive number"):
        engine(ids_ttl=0)


def test_a_python_without_flink_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
    monkeypatch.setattr(module.platform, "python_version", lambda: "3.13.1")
    with pytest.raises(ConfigurationError, match=r"this is Python 3\.13\.1, for which there is no"):
        engine()


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))


@pytest.mark.usefixtures("java")
def test_a_missing_flink_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyflink.version", None)
    with pytest.raises(ConfigurationError, match=r"needs the extra `flink`: pip install 'perdure"):
        engine()


@pytest.mark.usefixtures("java")
def test_another_flink_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    version = ModuleType("pyflink.version")
    version.__version__ = "2.2.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyflink.version", version)
    monkeypatch.setattr(sys.modules["pyflink"], "version", version, raising=False)
    with pytest.raises(ConfigurationError, match=r"this is Flink 2\.2\.1, and FlinkEngine is made"):
        engine()
    version.__version__ = "2.3.0"  # type: ignore[attr-defined]
    assert engine().java.major == 17


def test_only_a_process_that_a_task_manager_started_watches_for_its_end() -> None:
    assert not orphans.is_worker()
    orphans.watch()
    assert orphans._watching == []


def test_an_orphan_is_told_by_the_parent_of_its_runner(tmp_path: Path) -> None:
    """The runner lives on, as the script does between a TaskManager and its worker."""
    program = tmp_path / "manager.py"
    program.write_text(
        "import subprocess, sys, time\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    manager = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE)
    assert manager.stdout is not None
    with manager, manager.stdout:
        runner = int(manager.stdout.readline())
        try:
            is_gone = orphans.watcher(runner)
            assert not is_gone()
            manager.kill()
            deadline = time.monotonic() + PATIENCE
            while not is_gone():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.kill(runner, 9)


def test_the_loopback_server_is_stopped_while_threads_can_still_start() -> None:
    at_end = (
        "import atexit, threading\n"
        "from perdure.engine.flink.loopback import at_end_of_threads\n"
        "def stop():\n"
        "    thread = threading.Thread(target=print, args=('stopped',)); thread.start()\n"
        "    thread.join()\n"
        "atexit.register(print, 'atexit')\n"
        "at_end_of_threads(stop)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", at_end], capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["stopped", "atexit"], "")
    assert callable(at_end_of_threads)
