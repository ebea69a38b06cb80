"""JobFiles: what a job keeps in its store of the files that it reads and writes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from perdure.runtime.shared.backoff import until_store_answers
from perdure.store.base import ActionStateStore
from perdure.store.files import BadLineRow, FileRow, MendedLineRow
from perdure.store.group_commit import GroupCommit


class JobFiles:
    """What an engine asks of the store for its sources and sinks.

    Each call tries again for as long as the store fails. Owns nothing. On the host loop.

    Attributes:
        job: the job's number, for rows.
        store_paths: the files that the store keeps the job in; () without files.
    """

    def __init__(self, store: ActionStateStore, commits: GroupCommit, job: int, name: str) -> None:
        self._store = store
        self._commits = commits
        self.job = job
        self.store_paths: tuple[Path, ...] = store.paths(name)

    async def known(self, kind: str, name: str) -> FileRow | None:
        """Return which file a source or sink of the job was last, None where that is not known."""
        read = functools.partial(self._store.file, kind, name)
        return await until_store_answers(self._commits, read, "the names of files cannot be read")

    async def bad_positions(self, source: str) -> list[int]:
        """Return the positions of the inputs that a source has passed over."""
        read = functools.partial(self._store.bad_positions, source)
        return await until_store_answers(self._commits, read, "bad lines cannot be read")

    async def keep(self, rows: Sequence[FileRow | BadLineRow | MendedLineRow]) -> None:
        """Keep what is new; durable when this returns."""
        # They may be written twice: both say the same.
        write = functools.partial(self._commits.write, rows)
        await until_store_answers(self._commits, write, "what is known of files cannot be recorded")
