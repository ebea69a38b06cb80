"""What the tests of skills share: folders and zips of skills."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = '#!/bin/sh\necho ran "$1"\n'


def text_of(name: str = "pdf", description: str = "Reads PDFs.", body: str = "Do it.") -> str:
    """Return a SKILL.md."""
    return f"---\nname: {name}\ndescription: {description}\n---\n\n{body}\n"


def lay(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder; what begins with #! may be run."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
    return root


def skill(root: Path, name: str = "pdf", **more: Any) -> Path:
    """Lay a skill with a script and a text; return its folder."""
    files = {"SKILL.md": text_of(name, **more), "scripts/run.sh": SCRIPT, "notes.md": "Notes."}
    return lay(root / name, files)


def zipped(
    entries: Mapping[str | zipfile.ZipInfo, bytes | str],
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Return a zip of entries."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as opened:
        for entry, data in entries.items():
            opened.writestr(entry, data, compression)
    return made.getvalue()
