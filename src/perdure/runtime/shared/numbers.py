"""Numbers: what the runs, the places and the keys of a job are numbered by, shard by shard."""

from __future__ import annotations

from perdure.codec.digests import shard_of
from perdure.errors import ShardNotHeldError
from perdure.store.base import NUMBER_BITS, ShardInfo


class Numbers:
    """Counts on from the last numbers that the store knows, in each shard that is held here.

    The keys of a job are spread over its shards by their digests. A job has one, unless several
    processes share it: then each holds some of them, and no two shards give the same number. A
    number given is used up, whether its row becomes durable or not.

    Owned state: the last numbers given, and which shards are held. On the host loop.

    Args:
        job: the job's number.
        job_name: its name, for messages.
        shards: how many shards it has, for ever.

    Attributes:
        shards: likewise.
        held: the shards that are held here.
    """

    __slots__ = ("_first", "_job_name", "_last_keys", "_last_runs", "held", "shards")

    def __init__(self, job: int, job_name: str, shards: int = 1) -> None:
        self._first = job << NUMBER_BITS
        self._job_name = job_name
        self.shards = shards
        self.held: set[int] = set()
        self._last_runs: dict[int, int] = {}
        self._last_keys: dict[int, int] = {}

    def take(self, shard: int, newest: ShardInfo) -> None:
        """Hold a shard from now on; its numbers go on behind the newest that its store has."""
        nothing = self._first + shard
        self._last_runs[shard] = max(newest.last_run, nothing)
        self._last_keys[shard] = max(newest.last_key, nothing)
        self.held.add(shard)

    def give_back(self, shard: int) -> None:
        """Hold a shard no longer; what is under way in it may still ask for numbers."""
        self.held.discard(shard)

    def check(self, shard: int) -> None:
        """Make sure that a shard is held here.

        Raises:
            ShardNotHeldError: it is not.
        """
        if shard not in self.held:
            raise ShardNotHeldError(
                f"shard {shard} of job {self._job_name!r} is not held by this process: take it"
                " first, or ask the process that holds it"
            )

    def shard_of(self, key_digest: bytes) -> int:
        """Return the shard of the key with this digest."""
        return shard_of(key_digest, self.shards) if self.shards > 1 else 0

    def shard_of_run(self, run: int) -> int:
        """Return the shard that a run has its number from, which is that of its key."""
        return (run - self._first) % self.shards

    def next_run(self, shard: int) -> int:
        """Return the next number for a run or a place in a queue, which share one order."""
        self._last_runs[shard] = number = self._last_runs[shard] + self.shards
        return number

    def next_key(self, shard: int) -> int:
        """Return the next number for a key."""
        self._last_keys[shard] = number = self._last_keys[shard] + self.shards
        return number
