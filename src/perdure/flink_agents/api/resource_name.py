"""The names of the classes that resources are made of."""

from __future__ import annotations

__all__ = ["ResourceName"]


_CHAT = "flink_agents.integrations.chat_models"
_EMBEDDING = "flink_agents.integrations.embedding_models"
_STORE = "flink_agents.integrations.vector_stores"


class ResourceName:
    """Full names of classes of resources, for a ResourceDescriptor."""

    class ChatModel:
        """Chat models: connections and setups."""

        ANTHROPIC_CONNECTION = (
            f"{_CHAT}.anthropic.anthropic_chat_model.AnthropicChatModelConnection"
        )
        ANTHROPIC_SETUP = f"{_CHAT}.anthropic.anthropic_chat_model.AnthropicChatModelSetup"
        AZURE_OPENAI_CONNECTION = (
            f"{_CHAT}.azure.azure_openai_chat_model.AzureOpenAIChatModelConnection"
        )
        AZURE_OPENAI_SETUP = f"{_CHAT}.azure.azure_openai_chat_model.AzureOpenAIChatModelSetup"
        OLLAMA_CONNECTION = f"{_CHAT}.ollama_chat_model.OllamaChatModelConnection"
        OLLAMA_SETUP = f"{_CHAT}.ollama_chat_model.OllamaChatModelSetup"
        OPENAI_COMPLETIONS_CONNECTION = (
            f"{_CHAT}.openai.openai_chat_model.OpenAIChatModelConnection"
        )
        OPENAI_COMPLETIONS_SETUP = f"{_CHAT}.openai.openai_chat_model.OpenAIChatModelSetup"
        TONGYI_CONNECTION = f"{_CHAT}.tongyi_chat_model.TongyiChatModelConnection"
        TONGYI_SETUP = f"{_CHAT}.tongyi_chat_model.TongyiChatModelSetup"
        VLLM_CONNECTION = f"{_CHAT}.vllm.vllm_chat_model.VLLMChatModelConnection"
        VLLM_SETUP = f"{_CHAT}.vllm.vllm_chat_model.VLLMChatModelSetup"
        JAVA_WRAPPER_CONNECTION = (
            "flink_agents.api.chat_models.java_chat_model.JavaChatModelConnection"
        )
        JAVA_WRAPPER_SETUP = "flink_agents.api.chat_models.java_chat_model.JavaChatModelSetup"
        WATSONX_CONNECTION = f"{_CHAT}.watsonx.watsonx_chat_model.WatsonxChatModelConnection"
        WATSONX_SETUP = f"{_CHAT}.watsonx.watsonx_chat_model.WatsonxChatModelSetup"

    class EmbeddingModel:
        """Embedding models: connections and setups."""

        OLLAMA_CONNECTION = (
            f"{_EMBEDDING}.local.ollama_embedding_model.OllamaEmbeddingModelConnection"
        )
        OLLAMA_SETUP = f"{_EMBEDDING}.local.ollama_embedding_model.OllamaEmbeddingModelSetup"
        OPENAI_CONNECTION = f"{_EMBEDDING}.openai_embedding_model.OpenAIEmbeddingModelConnection"
        OPENAI_SETUP = f"{_EMBEDDING}.openai_embedding_model.OpenAIEmbeddingModelSetup"
        TONGYI_CONNECTION = f"{_EMBEDDING}.tongyi_embedding_model.TongyiEmbeddingModelConnection"
        TONGYI_SETUP = f"{_EMBEDDING}.tongyi_embedding_model.TongyiEmbeddingModelSetup"
        JAVA_WRAPPER_CONNECTION = (
            "flink_agents.api.embedding_models.java_embedding_model.JavaEmbeddingModelConnection"
        )
        JAVA_WRAPPER_SETUP = (
            "flink_agents.api.embedding_models.java_embedding_model.JavaEmbeddingModelSetup"
        )

    class VectorStore:
        """Vector stores."""

        CHROMA_VECTOR_STORE = f"{_STORE}.chroma.chroma_vector_store.ChromaVectorStore"
        MEM0_VECTOR_STORE = f"{_STORE}.mem0.mem0_vector_store.Mem0VectorStore"
        JAVA_WRAPPER_VECTOR_STORE = (
            "flink_agents.api.vector_stores.java_vector_store.JavaVectorStore"
        )
        JAVA_WRAPPER_COLLECTION_MANAGEABLE_VECTOR_STORE = (
            "flink_agents.api.vector_stores.java_vector_store.JavaCollectionManageableVectorStore"
        )

    MCP_SERVER = "flink_agents.integrations.mcp.mcp.MCPServer"
