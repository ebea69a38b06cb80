"""What the runtime takes from the world: time, chance, and where calls execute.

Replaced as a whole in tests.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable

from perdure.executor.executor import ContinuationActionExecutor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The world that a job runs in.

    Attributes:
        now: wall-clock time, ns since the epoch.
        chance: a number in [0, 1), for the jitter of back-offs.
        make_executor: makes what executes calls; takes the arguments of the real one.
    """

    now: Callable[[], int] = time.time_ns
    chance: Callable[[], float] = random.random
    make_executor: Callable[..., ContinuationActionExecutor] = ContinuationActionExecutor
