"""AgentsExecutionEnvironment: where agents are run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from perdure.flink_agents.border.environment import AgentBuilder, Environment
from perdure.flink_agents.border.local_environment import LocalEnvironment

__all__ = ["AgentBuilder", "AgentsExecutionEnvironment"]


class AgentsExecutionEnvironment(Environment):
    """Where agents are run, and the resources that all of them have."""

    @staticmethod
    def get_execution_environment(env: Any = None, t_env: Any = None, **kwargs: Any) -> Environment:
        """Return an environment: without `env` one that runs agents in this process.

        Args:
            env: A StreamExecutionEnvironment of Flink; not supported here yet.
            t_env: A table environment; not supported here yet.
            **kwargs: `store` and `job` of the local engine.

        Raises:
            NotImplementedError: `env` is given.
        """
        if env is not None or t_env is not None:
            raise NotImplementedError(
                "get_execution_environment(env) is not supported here yet: leave `env` out, and"
                " use from_list; perdure.FlinkEngine runs an agent of perdure's own on Flink"
            )
        made = LocalEnvironment(**kwargs)
        folder = os.environ.get("FLINK_CONF_DIR")
        if folder and (Path(folder) / "config.yaml").is_file():
            made.get_config().load_from_file(Path(folder) / "config.yaml")
        return made


AgentsExecutionEnvironment.register(LocalEnvironment)
