"""The page's modules as one script, for a file that stands alone."""

from __future__ import annotations

import functools
import re
from pathlib import Path

__all__ = ["PAGE", "bundle", "style"]

PAGE = Path(__file__).parent / "page"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE
)  # fmt: skip
_LEFT = re.compile(r"^(import|export)\b.*", re.MULTILINE)


@functools.cache
def bundle(entry: str) -> str:
    """Return a module of the page with all that it imports, as one script.

    Each module becomes a function that is called once and returns what it exports, those that it
    needs before it.

    Args:
        entry: path of the module below the page's folder.

    Raises:
        ValueError: a module imports or exports in a form that this does not know, or they import
            each other in a circle.
    """
    numbers: dict[Path, int] = {}
    parts: list[str] = []
    _add((PAGE / entry).resolve(), numbers, parts, ())
    return '"use strict";\n' + "".join(parts)


def _add(path: Path, numbers: dict[Path, int], parts: list[str], above: tuple[Path, ...]) -> None:
    if path in above:
        raise ValueError(f"modules import each other in a circle: {path.name}")
    if path in numbers:
        return
    text = path.read_text("utf-8")
    for _, source in _IMPORT.findall(text):
        _add((path.parent / source).resolve(), numbers, parts, (*above, path))
    number = numbers[path] = len(numbers)

    def binding(match: re.Match[str]) -> str:
        names = match[1].replace(" as ", ": ")
        return f"const {{{names}}} = m{numbers[(path.parent / match[2]).resolve()]};\n"

    exported = _EXPORT.findall(text)
    body = _EXPORT.sub("", _IMPORT.sub(binding, text))
    if left := _LEFT.search(body):
        raise ValueError(f"{path.name} has {left[0]!r}: a file that stands alone cannot take it")
    parts.append(
        f"const m{number} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"
    )


@functools.cache
def style(*names: str) -> str:
    """Return style sheets of the page as one."""
    return "\n".join((PAGE / name).read_text("utf-8") for name in names)
