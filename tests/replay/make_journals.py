"""Makes the golden journals: `python -m tests.replay.make_journals [NAME ...]` in the root.

Each scenario runs an agent in simulated time, on a store whose commits take none, and is cut in the
middle. So making them again gives the same text, on every machine; tests hold this version to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.inside import runtime_of
from tests.replay import (
    agents,
    basics,
    before_rules,
    chats,
    failures,
    large,
    libraries,
    names,
    retrieval,
    runs,
    value_types,
)
from tests.replay.harness import (
    EPOCH,
    JOB,
    VERSION,
    Expected,
    Life,
    Scenario,
    at,
    dump,
    load,
    simulate,
)

from perdure.engine.job import Job
from perdure.store.sqlite.file import connect

JOURNALS = Path(__file__).with_name("journals")

THEMES = (
    basics,
    before_rules,
    value_types,
    names,
    failures,
    large,
    runs,
    chats,
    retrieval,
    libraries,
)
SCENARIOS: dict[str, Scenario] = {}
EXPECTED: dict[str, Expected] = {}
for _theme in THEMES:
    SCENARIOS |= _theme.SCENARIOS
    EXPECTED |= _theme.EXPECTED

# Written by versions up to 4 alone, in a way that is still read: they stay, and are not made again.
FROZEN: frozenset[str] = frozenset(
    (
        # Their actions are from before rules had numbers, and do what is refused since.
        "before_rules", "own_types", "plain_values", "registered_types", "typed_values",
        # They lack the START of a run in its first call, and the marks of what was logged.
        "cancelled", "chat_in_an_action", "family", "sink",
    )
)  # fmt: skip

# What later ones write of the same scenarios, where those journals are frozen.
LAST_OF_FROZEN = 4
WRITTEN_SINCE = {
    "cancelled_and_seen": "cancelled", "chat_and_marks": "chat_in_an_action",
    "family_and_seen": "family", "sink_and_seen": "sink",
}  # fmt: skip
for _new, _old in WRITTEN_SINCE.items():
    SCENARIOS[_new] = dataclasses.replace(SCENARIOS[_old], first=LAST_OF_FROZEN)
    EXPECTED[_new] = EXPECTED[_old]


class _Cut(Exception):
    """Leaves a job in the middle of its runs."""


def of_version(version: int) -> list[str]:
    """Return the scenarios that a schema version has journals of."""
    frozen = FROZEN if version > LAST_OF_FROZEN else ()
    return [n for n, each in SCENARIOS.items() if each.first <= version and n not in frozen]


def path_of(name: str, version: int) -> Path:
    """Return the file of a scenario's journal."""
    return JOURNALS / f"v{version}" / f"{name}.sql"


def journal(name: str) -> str:
    """Make the journal of a scenario, of the newest schema version; return its text."""
    scenario, text = SCENARIOS[name], ""
    agents.reset(making=True)
    for life in scenario.lives:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.db"
            if text:
                load(text, path)
            else:
                _begin(path)
            text = _live(life, path, scenario.about)
    agents.reset(making=False)
    return text


def _begin(path: Path) -> None:
    connection = connect(path, relaxed=True)
    connection.execute("INSERT INTO job (job, name, created_at) VALUES (1, ?, ?)", (JOB, EPOCH))
    connection.close()


def _live(life: Life, path: Path, about: str) -> str:
    texts: list[str] = []

    async def body(job: Job) -> None:
        await life.body(job)
        await at(life.until)
        store: Any = runtime_of(job)._store
        texts.append(dump(store._connection, about))
        raise _Cut

    with life.pinned(), contextlib.suppress(_Cut):
        simulate(path, life.agent, body, begin=life.begin, config=life.config, sink=life.sink)
    return texts[0]


def write(names: Iterable[str] = ()) -> None:
    """Write journals of the newest schema version; the older ones are written by nobody again."""
    for name in names or sorted(SCENARIOS.keys() - FROZEN):
        path = path_of(name, VERSION)
        path.parent.mkdir(exist_ok=True)
        path.write_text(journal(name), "utf-8")


if __name__ == "__main__":
    write(sys.argv[1:])
