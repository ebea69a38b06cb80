"""An agent of theirs on its way to Flink's workers: packed in the program, unpacked on them.

It goes by value, since it may be made in the program itself, or of a YAML file. What is of a module
that can be imported goes as its name.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, Final

from perdure.agent.declaration import Agent as CoreAgent
from perdure.errors import AgentDefinitionError, PerdureError
from perdure.flink_agents.api.resource import ResourceType
from perdure.flink_agents.border.compiled import compiled, made, main_models
from perdure.flink_agents.installing import install
from perdure.flink_agents.plan.configuration import AgentConfiguration

__all__ = ["UNPACKED", "packed", "unpacked"]

UNPACKED: Final = f"{__name__}:unpacked"  # for `FunctionSpec.agent`


def packed(
    agent: Any, config: AgentConfiguration, resources: Mapping[ResourceType, Mapping[str, Any]]
) -> bytes:
    """Return an agent, and what it runs with, as bytes.

    Args:
        agent: The agent, its class or a function that makes it.
        config: The job's configuration as it is now.
        resources: Those of the environment, by type and name.

    Raises:
        AgentDefinitionError: It is no agent of theirs, or holds what cannot be pickled.
    """
    import cloudpickle  # comes with Flink

    theirs = made(agent)
    kept = {type_: dict(several) for type_, several in resources.items() if several}
    try:
        # The models apart: without them, what is of the program itself could not be named.
        data: bytes = cloudpickle.dumps((theirs, config.conf_data, kept, main_models(theirs)))
    except Exception as error:
        raise AgentDefinitionError(
            f"agent {type(theirs).__name__} cannot be sent to Flink's workers"
            f" ({type(error).__name__}: {error}): give its resources as ResourceDescriptors, and"
            " let it hold no locks, connections or open files"
        ) from error
    return data


def unpacked(data: bytes) -> CoreAgent:
    """Return what was packed as an agent of the core.

    Raises:
        AgentDefinitionError: A module that it needs is not here.
    """
    install()  # its modules import theirs
    try:
        agent, values, resources, models = pickle.loads(data)  # noqa: S301 -- of the job's graph
    except PerdureError:
        raise
    except Exception as error:
        raise AgentDefinitionError(
            f"the agent cannot be loaded here ({type(error).__name__}: {error}): put its modules"
            " on the Python path of the workers (PYTHONPATH, or python.files of Flink)"
        ) from error
    return compiled(
        agent, AgentConfiguration(values), resources=resources, models=models, plain_outputs=True
    )
