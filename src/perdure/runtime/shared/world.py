"""What the runtime takes from the world: time, chance, where calls execute, the rules of now.

Replaced as a whole in tests.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from perdure.executor.executor import ContinuationActionExecutor
from perdure.journal.record import RULES
from perdure.runtime.shared.clock import SteadyClock


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The world that a job runs in.

    Attributes:
        now: time that never goes back, ns since the epoch.
        monotonic: time that nobody sets, ns since some moment; that of `now` where this is given.
        chance: a number in [0, 1), for the jitter of back-offs.
        watches_inbox: whether the inbox is looked into now and then, beside when it is asked for.
        make_executor: makes what executes calls; takes the arguments of the real one.
        rules: those that new actions are run by (see `journal.record.RULES`).
    """

    now: Callable[[], int] = msgspec.field(default_factory=SteadyClock)
    monotonic: Callable[[], int] = time.monotonic_ns
    chance: Callable[[], float] = random.random
    watches_inbox: bool = True
    make_executor: Callable[..., ContinuationActionExecutor] = ContinuationActionExecutor
    rules: int | None = RULES

    def __post_init__(self) -> None:
        """Simulated time is one for everything."""
        clock = getattr(self.now, "__self__", self.now)
        if isinstance(clock, SteadyClock):  # its method: to call an object takes twice as long
            msgspec.structs.force_setattr(self, "now", clock.__call__)
        else:
            msgspec.structs.force_setattr(self, "monotonic", self.now)
