"""What a job keeps of its files: which ones they are, and the bad lines that it passed over."""

from typing import NamedTuple

SOURCE, SINK, AGENT = "source", "sink", "agent"  # kinds of FileRow


class FileRow(NamedTuple):
    """Which file a source or a sink of the job is; or whose the job is. Upserted.

    Attributes:
        job: the job's number.
        kind: `SOURCE`, `SINK` or `AGENT`.
        name: the name of the source or sink; "" of the agent.
        path: the file's absolute path; the agent's name.
        beside: its path from the store's folder, "" without such a path: both may move together;
            of the agent a digest of its source.
    """

    job: int
    kind: str
    name: str
    path: str
    beside: str


class BadLineRow(NamedTuple):
    """An input that a source passed over. Upserted.

    Attributes:
        job: the job's number.
        source: the name of its source.
        position: its position there, from 0.
        line: its line number from 1; 0 where the source has no lines.
        reason: what is wrong with it.
        at: when it was read, ns since the epoch.
    """

    job: int
    source: str
    position: int
    line: int
    reason: str
    at: int


class MendedLineRow(NamedTuple):
    """That an input which had been passed over was read after all: its bad line is forgotten."""

    job: int
    source: str
    position: int
