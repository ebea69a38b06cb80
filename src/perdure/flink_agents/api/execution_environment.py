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
        """Return an environment: with `env` one for jobs of Flink, without one of this process.

        Args:
            env: A StreamExecutionEnvironment of Flink.
            t_env: The table environment over it; without, one is made where it is needed.
            **kwargs: `store` and `job` of the local engine; on Flink also `shards`.

        Raises:
            ValueError: `t_env` is given without `env`.
            ConfigurationError: There is no Flink or Java here.
        """
        made: Environment
        if env is not None:
            # Here, for it is only for those who have Flink.
            from perdure.flink_agents.border.flink_environment import FlinkEnvironment

            AgentsExecutionEnvironment.register(FlinkEnvironment)
            made = FlinkEnvironment(env, t_env, **kwargs)
        elif t_env is not None:
            raise ValueError(
                "A StreamExecutionEnvironment is required: pass env= beside t_env=, the one that"
                " it was made with"
            )
        else:
            made = LocalEnvironment(**kwargs)
        folder = os.environ.get("FLINK_CONF_DIR")
        if folder and (Path(folder) / "config.yaml").is_file():
            made.get_config().load_from_file(Path(folder) / "config.yaml")
        return made


AgentsExecutionEnvironment.register(LocalEnvironment)
