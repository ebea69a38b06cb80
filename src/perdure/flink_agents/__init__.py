"""Flink Agents' Python API over perdure: their agents run here as they are.

`install()` makes `import flink_agents` mean this package; `python -m perdure.flink_agents JOB.py`
does so for a script.
"""

from __future__ import annotations

import importlib.util

from perdure.errors import ConfigurationError

if importlib.util.find_spec("pydantic") is None or (
    importlib.util.find_spec("docstring_parser") is None
):
    raise ConfigurationError(
        "perdure.flink_agents needs the extra `flink-agents`: pip install 'perdure[flink-agents]'"
    )

from perdure.flink_agents.installing import install

__all__ = ["install"]
