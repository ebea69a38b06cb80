"""What stands behind `ChatModel` and `EmbeddingModel`; importing this says it, and loads none."""

from __future__ import annotations

from perdure.llm.providers import register_provider
from perdure.resource import ResourceType

register_provider(ResourceType.CHAT_MODEL_CONNECTION, "perdure.integrations.llm.ChatConnection")
register_provider(
    ResourceType.EMBEDDING_MODEL_CONNECTION, "perdure.integrations.embeddings.EmbeddingConnection"
)
register_provider(
    ResourceType.EMBEDDING_MODEL_CONNECTION,
    "perdure.integrations.local_embeddings.LocalEmbeddings",
    "local",
)
