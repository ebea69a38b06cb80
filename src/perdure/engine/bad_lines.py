"""BadLines: the inputs that a source passes over, kept in the store."""

from __future__ import annotations

import os
import time

from perdure.connectors.base import Source, SourceRecord
from perdure.engine.run_set import RunSet
from perdure.runtime.job import JobFiles
from perdure.store.files import BadLineRow, MendedLineRow


class BadLines:
    """Keeps the bad lines of one reading, and forgets those that have been mended.

    Owns: what of the current chunk is not kept yet. Lifecycle: one reading of the source.

    Args:
        by_id: inputs have ids, so that sources of one name need not be the same file.

    Attributes:
        count: how many were passed over.
    """

    def __init__(self, files: JobFiles, source: Source, *, by_id: bool) -> None:
        self._files = files
        self._source = source
        self._paths = source.files() if by_id else {}
        self._bad: list[tuple[SourceRecord, str]] = []
        self._good: list[SourceRecord] = []
        self._known: dict[str, RunSet] = {}
        self.count = 0

    def __len__(self) -> int:
        """Return how many of the current chunk are not kept yet."""
        return len(self._bad)

    def add(self, record: SourceRecord, reason: str) -> None:
        """Take a record that is passed over."""
        self._bad.append((record, reason))
        self.count += 1

    def mended(self, record: SourceRecord) -> None:
        """Take a record that was admitted: it may have been passed over in an earlier reading."""
        self._good.append(record)

    async def keep(self) -> None:
        """Commit what the chunk changed; durable when this returns."""
        bad, self._bad = self._bad, []
        good, self._good = self._good, []
        now = time.time_ns()
        rows: list[BadLineRow | MendedLineRow] = [
            BadLineRow(
                job=self._files.job, source=self._name(record), position=record.position,
                line=record.line or 0, reason=reason, at=now,
            )
            for record, reason in bad
        ]  # fmt: skip
        for record in good:
            name = self._name(record)
            if record.position in await self._known_of(name):
                rows.append(MendedLineRow(self._files.job, name, record.position))
        if rows:
            await self._files.keep(rows)

    def _name(self, record: SourceRecord) -> str:
        name = record.source or self._source.name
        path = self._paths.get(name)
        return os.path.abspath(path) if path is not None else name

    async def _known_of(self, name: str) -> RunSet:
        """Return the positions that were passed over before this reading."""
        if name not in self._known:
            known = RunSet()
            for position in await self._files.bad_positions(name):
                known.add(position)
            self._known = {name: known}  # one file after another: the last one's is enough
        return self._known[name]
