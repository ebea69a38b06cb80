"""Skill: one folder with a SKILL.md, read and checked."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from perdure.errors import ConfigurationError

__all__ = ["SKILL_FILE", "Skill", "read_skill", "read_text"]

SKILL_FILE: Final = "SKILL.md"
MAX_FILES: Final = 2_000
MAX_DEPTH: Final = 8
MAX_TEXT: Final = 256 * 1024
MAX_FRONT_MATTER: Final = 16 * 1024
MAX_NESTING: Final = 16
_MAX_DESCRIPTION: Final = 1_024
_MAX_COMPATIBILITY: Final = 500
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One skill, as it was when the job opened.

    Attributes:
        name: Its name: 1 to 64 of a-z, 0-9 and -.
        description: What it is for and when it is used, for the model; one line.
        folder: Where it lies, links resolved.
        text: SKILL.md without its front matter.
        files: Its other files, as paths from the folder.
        license: Its license, or the name of the file that says it.
        compatibility: What it needs.
        metadata: Further entries.
    """

    __journal_name__ = "perdure:Skill"

    name: str
    description: str
    folder: str
    text: str
    files: tuple[str, ...] = ()
    license: str = ""
    compatibility: str = ""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_skill(folder: Path) -> Skill:
    """Return the skill in a folder; nothing of it is run.

    Raises:
        ConfigurationError: A link leads out of it, it is too large, or its SKILL.md is wrong.
    """
    folder = Path(os.path.realpath(folder))
    files = tuple(sorted(_files_of(folder)))
    file = folder / SKILL_FILE
    try:
        front, text = _split(read_text(file))
        return _skill(folder, _front_matter(front), text, files)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"skill {file}: {error}") from None


def read_text(file: Path) -> str:
    """Return the text of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no text, or over 256 kB.
    """
    if not file.is_file():  # a FIFO would be waited for
        raise ValueError("it is no file")
    with file.open("rb") as opened:
        data = opened.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise ValueError(f"it has over {MAX_TEXT // 1024} kB: split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
    if "\0" in text:
        raise ValueError("it is no text: it holds a NUL")
    return text.replace("\r\n", "\n")


def _files_of(folder: Path) -> Iterator[str]:
    """Yield all files but SKILL.md.

    Raises:
        ConfigurationError: One lies elsewhere, or there are too many.
    """
    count, waiting = 0, [(folder, 1)]
    while waiting:
        below, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ConfigurationError(f"skill {folder}: its folders are over {MAX_DEPTH} deep")
        with os.scandir(below) as opened:
            entries = list(itertools.islice(opened, MAX_FILES + 1))
        for entry in entries:
            count += 1
            if count > MAX_FILES:
                raise ConfigurationError(f"skill {folder}: it has over {MAX_FILES:,} files")
            path = Path(entry.path)
            if entry.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(folder):
                raise ConfigurationError(
                    f"skill {folder}: the link {path.relative_to(folder)} leads out of it: put"
                    " the file itself there"
                )
            if entry.is_dir(follow_symlinks=False):
                waiting.append((path, depth + 1))
            elif stat.S_ISREG(entry.stat(follow_symlinks=True).st_mode if path.exists() else 0):
                name = path.relative_to(folder).as_posix()
                if name != SKILL_FILE:
                    yield name


def _split(text: str) -> tuple[str, str]:
    """Return front matter and body."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        raise ValueError("it does not begin with front matter: a line ---, name, description, ---")
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == "---":
            front = "\n".join(lines[1:number])
            if len(front) > MAX_FRONT_MATTER:
                raise ValueError(f"its front matter has over {MAX_FRONT_MATTER // 1024} kB")
            return front, "\n".join(lines[number + 1 :]).strip("\n")
    raise ValueError("its front matter does not end: add a line ---")


def _front_matter(text: str) -> dict[str, Any]:
    import yaml

    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_NESTING:  # reading them takes the square of their number
                raise ValueError(f"its front matter is nested over {MAX_NESTING} deep")
            # An alias may stand for a text that is far larger than the file.
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("its front matter has an alias (*name): write it out")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"its front matter is no YAML: {reason}") from None
    if not isinstance(found, dict):
        raise ValueError("its front matter is no mapping: write name: and description:")
    return found


def _skill(folder: Path, front: Mapping[str, Any], text: str, files: tuple[str, ...]) -> Skill:
    name = front.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name is {_shown(name)}: use 1 to 64 of a-z, 0-9 and -")
    description = _line(front, "description", _MAX_DESCRIPTION)
    if not description:
        raise ValueError("it has no description: say what it is for and when it is used")
    metadata = front.get("metadata") or {}
    if not isinstance(metadata, dict) or any(
        not isinstance(key, str) or isinstance(each, dict | list) for key, each in metadata.items()
    ):
        raise ValueError("metadata is no mapping of names to texts")
    return Skill(
        name=name,
        description=description,
        folder=str(folder),
        text=text,
        files=files,
        license=_line(front, "license", _MAX_DESCRIPTION),
        compatibility=_line(front, "compatibility", _MAX_COMPATIBILITY),
        metadata={key: str(each) for key, each in metadata.items()},
    )


def _line(front: Mapping[str, Any], key: str, most: int) -> str:
    value = front.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is {_shown(value)}: write a text, in quotes")
    if _CONTROL.search(value):
        raise ValueError(f"{key} has control characters")
    found = " ".join(value.split())
    if len(found) > most:
        raise ValueError(f"{key} has {len(found):,} characters: write {most:,} at most")
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
