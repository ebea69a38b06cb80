"""BadLines: the inputs that a source passes over, kept in the store."""

from __future__ import annotations

import os
import time

from perdure.connectors.base import Source, SourceItem
from perdure.engine.run_set import RunSet
from perdure.runtime.job_runtime import JobFiles
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
        self._bad: list[tuple[SourceItem, str]] = []
        self._good: list[SourceItem] = []
        self._known: dict[str, RunSet] = {}
        self.count = 0

    def __len__(self) -> int:
        """Return how many of the current chunk are not kept yet."""
        return len(self._bad)

    def add(self, item: SourceItem, reason: str) -> None:
        """Take an item that is passed over."""
        self._bad.append((item, reason))
        self.count += 1

    def mended(self, item: SourceItem) -> None:
        """Take an item that was admitted: it may have been passed over in an earlier reading."""
        self._good.append(item)

    async def keep(self) -> None:
        """Commit what the chunk changed; durable when this returns."""
        bad, self._bad = self._bad, []
        good, self._good = self._good, []
        now = time.time_ns()
        rows: list[BadLineRow | MendedLineRow] = [
            BadLineRow(
                job=self._files.job, source=self._name(item), position=item.position,
                line=item.line or 0, reason=reason, at=now,
            )
            for item, reason in bad
        ]  # fmt: skip
        for item in good:
            name = self._name(item)
            if item.position in await self._known_of(name):
                rows.append(MendedLineRow(self._files.job, name, item.position))
        if rows:
            await self._files.keep(rows)

    def _name(self, item: SourceItem) -> str:
        name = item.source or self._source.name
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
