"""Reach: what an action may ask for that lies outside its run, and outside its shard."""

from __future__ import annotations

from collections.abc import Callable

from perdure.codec.digests import digest
from perdure.errors import ContextAccessError
from perdure.runtime.shared.numbers import Numbers


class Reach:
    """Refuses by name what the store of a job cannot do, when an action asks for it.

    Owns nothing. On any thread.

    Args:
        store: the store's URL.
        takes_commands: signals and answers can be left in it.
        numbers: those of the job: it knows the shards.
    """

    __slots__ = ("_numbers", "_store", "_takes_commands")

    def __init__(self, store: str, *, takes_commands: bool, numbers: Numbers) -> None:
        self._store = store
        self._takes_commands = takes_commands
        self._numbers = numbers

    def check_wait(self, where: Callable[[], str], what: str) -> None:
        """Refuse to wait for what nobody can send.

        Args:
            where: says which action asks.
            what: for what, with its name.

        Raises:
            ContextAccessError: nothing can be left in the store.
        """
        if not self._takes_commands:
            raise ContextAccessError(
                f"{where()}: {what} can never come, since nobody can leave anything in a"
                f" {self._store} store: let it come as an input of its own, or use an sqlite:///"
                " store"
            )

    def check_child(self, where: Callable[[], str], own: bytes, key: object) -> None:
        """Refuse to start a run in another shard, which another process may hold.

        Args:
            where: says which action asks.
            own: the digest of its key.
            key: the key of the run to start.

        Raises:
            ContextAccessError: it belongs to another shard.
            EncodeError: the key cannot be journaled.
        """
        numbers = self._numbers
        if numbers.shards == 1 or numbers.shard_of(digest(key)) == numbers.shard_of(own):
            return
        raise ContextAccessError(
            f"{where()}: a run of the key {key!r} cannot be started here: its key belongs to"
            " another shard of the job, which another process may hold; start runs of the own key,"
            " or send an output that becomes an input"
        )
