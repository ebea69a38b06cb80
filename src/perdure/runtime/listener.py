"""What observers of a job are told; they never change an outcome."""

from __future__ import annotations

from typing import Protocol

from perdure.run import Output
from perdure.runtime.shared.mailbox import RunTicket


class JobListener(Protocol):
    """Told about a job, on the host loop; must return quickly and not raise.

    Of a ticket it may read `number`, `id`, `key.value`, `key_digest`, `shard`, `status`, `error`,
    `activity` and `is_delayed`.
    """

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        """An output of a run is durable; in commit order."""

    def on_resting(self, ticket: RunTicket) -> None:
        """Only time or a signal can continue a run now."""

    def on_finished(self, ticket: RunTicket) -> None:
        """A run came to its end, which is durable."""
