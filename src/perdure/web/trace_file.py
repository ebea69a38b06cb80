"""A run as a file to be sent to somebody: one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import time
from importlib.metadata import version
from typing import Any

from perdure.connectors.json_text import to_json
from perdure.errors import RunNotFoundError
from perdure.operate.history import AsyncHistory, JobRow
from perdure.operate.journal_lines import journal_lines
from perdure.operate.lives import lives_during
from perdure.operate.run_detail import RunDetail
from perdure.printable import json_text
from perdure.web.bundle import bundle, style
from perdure.web.forms import detail_form, line_form

__all__ = ["WHOLE", "TakenRun", "html_file", "take"]

WHOLE = 2**62  # bytes of a value: none is cut
_CUT = 65_536  # bytes that the HTML file has of one value at most
_MOST_RECORDS = 5000
_MOST_CHILDREN = 50
_STYLES = ("style.css", "screens.css", "run.css")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TakenRun:
    """A run with what a file of it has.

    Attributes:
        job: name of its job.
        detail: what it did, as `detail_form` has it.
        children: the same of the runs that it started, by id.
        records: its journal, as `line_form` has it; the first 5,000.
    """

    job: str
    detail: dict[str, Any]
    children: dict[str, dict[str, Any]]
    records: list[dict[str, Any]]


async def take(
    history: AsyncHistory, job: JobRow, detail: RunDetail, *, cut: int = _CUT
) -> TakenRun:
    """Return a run with its children and its journal.

    Args:
        history: the store.
        job: the run's job.
        detail: the run.
        cut: bytes of JSON that there are of one value at most.

    Raises:
        StoreError: it cannot be read.
    """
    children: dict[str, dict[str, Any]] = {}
    for child in detail.children[:_MOST_CHILDREN]:
        try:
            found = await history.detail(job, child.id)
        except RunNotFoundError:
            continue
        children[child.id] = detail_form(found, await lives_during(history, job, found), cut)
    lines = await journal_lines(history, detail.run.number, limit=_MOST_RECORDS)
    return TakenRun(
        job=job.title,
        detail=detail_form(detail, await lives_during(history, job, detail), cut),
        children=children,
        records=[line_form(line) for line in lines],
    )


def html_file(taken: TakenRun) -> str:
    """Return the page: it asks for nothing, and its policy would not let it."""
    script, sheet = bundle("run/file.js"), style(*_STYLES)
    data = {
        "job": taken.job,
        "version": version("perdure"),
        "at": time.time_ns() // 1_000_000,
        "detail": taken.detail,
        "children": taken.children,
        "records": taken.records,
    }
    # Without "<" there is no end tag and no comment in it, whatever its values are. In a terminal,
    # where it may be printed, none of them acts.
    embedded = json_text(to_json(data).decode()).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(sheet)};"
        " base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(taken.detail['run']['id'])}</title>\n"
        f'<style>{sheet}</style>\n</head>\n<body>\n<main id="screen"></main>\n'
        f'<script type="application/json" id="run">{embedded}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _digest(text: str) -> str:
    """Return what a policy names a script or a style sheet by."""
    found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{found}'"
