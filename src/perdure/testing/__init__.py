"""The test kit: what perdure's own tests use and a user's tests may. Needs no test framework."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.testing.engine_contract import EngineContract
    from perdure.testing.flink_cluster import FlinkCluster
    from perdure.testing.local_model_server import local_model
    from perdure.testing.mcp import scripted_mcp_server
    from perdure.testing.model_server import Answer, ScriptedModelServer
    from perdure.testing.recording import RecordedChatModel
    from perdure.testing.request_log import RequestLog
    from perdure.testing.scripted_chat import ScriptedChatModel
    from perdure.testing.scripted_embedding import ScriptedEmbeddingModel
    from perdure.testing.scripted_source import ScriptedSource
    from perdure.testing.simulation import Simulated, SimulationFailed, simulate, takes
    from perdure.testing.store_contract import StoreContract
    from perdure.testing.vector_store_contract import VectorStoreContract

__all__ = [
    "Answer",
    "EngineContract",
    "FlinkCluster",
    "RecordedChatModel",
    "RequestLog",
    "ScriptedChatModel",
    "ScriptedEmbeddingModel",
    "ScriptedModelServer",
    "ScriptedSource",
    "Simulated",
    "SimulationFailed",
    "StoreContract",
    "VectorStoreContract",
    "local_model",
    "scripted_mcp_server",
    "simulate",
    "takes",
]

_MODULES = {
    "Answer": "model_server",
    "EngineContract": "engine_contract",
    "FlinkCluster": "flink_cluster",
    "RecordedChatModel": "recording",
    "RequestLog": "request_log",
    "ScriptedChatModel": "scripted_chat",
    "ScriptedEmbeddingModel": "scripted_embedding",
    "ScriptedModelServer": "model_server",
    "ScriptedSource": "scripted_source",
    "Simulated": "simulation",
    "SimulationFailed": "simulation",
    "StoreContract": "store_contract",
    "VectorStoreContract": "vector_store_contract",
    "local_model": "local_model_server",
    "scripted_mcp_server": "mcp",
    "simulate": "simulation",
    "takes": "simulation",
}


def __getattr__(name: str) -> Any:
    # On use, since each needs other extras.
    if name not in _MODULES:
        raise AttributeError(f"module 'perdure.testing' has no attribute {name!r}")
    value = getattr(import_module(f"perdure.testing.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
