"""Limits: what one client of a service, and all of them together, may take."""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable

from perdure.checks import fitting, shown
from perdure.errors import ConfigurationError

__all__ = ["LONGEST_WAIT", "TO_ANSWER", "Limits", "Rates"]

LONGEST_WAIT = 60.0  # seconds that an answer may be waited for
TO_ANSWER = 1.0  # seconds that answers have at the least, once those who wait get theirs
_CLIENTS = 10_000  # whose rates are known; the one that was silent longest is forgotten first


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a service. Those of connections and headers are kept by `perdure serve` alone.

    Attributes:
        body_bytes: of one request's body.
        header_bytes: of one request's line and headers.
        receive_seconds: until a request's line and headers, and then its body, have come.
        idle_seconds: that a connection may be silent between two requests.
        send_seconds: that a client may take nothing of an answer that is there.
        connections: at one time.
        requests: under way at one time, those that wait for a run included.
        streams: of them, event streams.
        rate: requests a second of one token, or of one address where there are none.
        burst: requests that may come at once on top of that.
        refused_rate: requests a second of one address that have no token, or a wrong one.
        searched_runs: that one text search looks at.
        drain_seconds: that requests under way have to end, once the service is to stop.
    """

    __journal_name__ = "perdure:Limits"

    body_bytes: int = 16 * 1024 * 1024
    header_bytes: int = 32 * 1024
    receive_seconds: float = 20.0
    idle_seconds: float = 30.0
    send_seconds: float = 30.0
    connections: int = 4096
    requests: int = 2048
    streams: int = 256
    rate: float = 1000.0
    burst: int = 5000
    refused_rate: float = 10.0
    searched_runs: int = 2000
    drain_seconds: float = 5.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            number = fitting(lambda number: number > 0, given)
            if number is None:
                raise ConfigurationError(f"limit {field.name} is {shown(given)}: give more than 0")
            if field.type == "int":
                if not float(number).is_integer():
                    raise ConfigurationError(
                        f"limit {field.name} is {shown(given)}: give a whole number"
                    )
                number = int(number)
            object.__setattr__(self, field.name, number)  # past that of a frozen class


class Rates:
    """How often each client may ask: a bucket a client, which fills with time.

    Owns: the buckets. On one event loop.

    Args:
        rate: that a bucket gets a second.
        burst: that it holds.
        clock: seconds, monotonic.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_of(self, client: str) -> float:
        """Count a request; return 0, or the seconds after which the client may ask again."""
        now = self._clock()
        left, at = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._buckets[client] = (left if wait else left - 1, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return wait
