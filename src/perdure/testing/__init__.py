"""The test kit: what perdure's own tests use and a user's tests may. Needs no test framework."""

from perdure.testing.simulation import Simulated, SimulationFailed, simulate, takes

__all__ = ["Simulated", "SimulationFailed", "simulate", "takes"]
