"""Deterministic simulation: jobs in a world without real time, crashed after every commit.

`simulate` is for the author of an agent; `python -m perdure.testing.simulation` runs random agents
against the runtime itself.

Callables are executed, many times each: give fakes for those that reach outside. In a coroutine
function `asyncio.sleep` is simulated; `takes` says how long any callable takes. When an attempt of
a call is over is settled once for all lives under a seed, so that races come out the same.

By right these may differ after a crash, so no result must depend on them: what `ctx.now()`, the
times of items in long-term memory and memory say in an action of which nothing is recorded yet,
when a call's own timeout is over (it begins again with the attempt), and whether an outcome that
nobody waits for was recorded before its run failed and was put back.
"""

from perdure.testing.execution import takes, this_attempt
from perdure.testing.simulation.simulate import Simulated, SimulationFailed, simulate

__all__ = ["Simulated", "SimulationFailed", "simulate", "takes", "this_attempt"]
