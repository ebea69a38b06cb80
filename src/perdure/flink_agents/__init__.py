"""Flink Agents' Python API over perdure: their agents run here as they are.

`install()` makes `import flink_agents` mean this package; `python -m perdure.flink_agents JOB.py`
does so for a script.
"""

from __future__ import annotations

from perdure.errors import missing_extra

try:
    import docstring_parser as docstring_parser
    import pydantic as pydantic
except ImportError as error:
    raise missing_extra("perdure.flink_agents", "flink-agents", error) from error

from perdure.engine.flink.java import have_java_found
from perdure.flink_agents.installing import install

have_java_found()

__all__ = ["install"]
