"""RunIdentity: the names of what a run makes: derived from the run, never drawn (G3)."""

from __future__ import annotations

import hashlib


class RunIdentity:
    """Derives ids and seeds from (job, generation, key, sequence), or from its input's id.

    Args:
        job: name of the job.
        key: digest of the key.
        sequence: number of the run in its key.
        input: source and id of its input, where runs are named by them: the sequence is then
            none of its names, since the run may have another after it was lost.
        generation: number of the job's generation, from 1.
    """

    __slots__ = ("_hasher",)

    def __init__(
        self,
        job: str,
        key: bytes,
        sequence: int,
        input: tuple[str, str | int] | None = None,
        generation: int = 1,
    ) -> None:
        identity = f"{job}\0{sequence}\0"
        if input is not None:
            source, id_ = input
            identity = f"{job}\0{source}\0{type(id_).__name__}\0{id_}\0"
        if generation > 1:  # else as before there were generations: no journal may change
            identity += f"generation\0{generation}\0"
        data = key + identity.encode("utf-8", "surrogatepass")
        self._hasher = hashlib.blake2b(data, digest_size=16)

    def event(self, event: int, action: str, n: int) -> str:
        """Return the id of the `n`-th event that `action` made of event number `event`."""
        return self._digest(f"event\0{event}\0{action}\0{n}").hex()

    def child(self, event: int, action: str, call: int, digest: bytes) -> str:
        """Return the id of the run that a call of an action starts.

        `digest` is that of the call's arguments; what may follow its 16 bytes does not count.

        A retried action may take another way: the same call with another input is another run.
        """
        return self._digest(f"run\0{event}\0{action}\0{call}\0{digest[:16].hex()}").hex()

    def seed(self, event: int, action: str) -> int:
        """Return what an action's hashes and random numbers derive from."""
        return int.from_bytes(self._digest(f"seed\0{event}\0{action}\x000")[:8], "big")

    def _digest(self, parts: str) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(parts.encode("utf-8", "surrogatepass"))
        return hasher.digest()
