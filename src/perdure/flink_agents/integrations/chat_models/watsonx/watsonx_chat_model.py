"""Chat models of Watsonx."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.flink_agents.api.chat_models.chat_model import (
    BaseChatModelConnection,
    BaseChatModelSetup,
)
from perdure.flink_agents.border.refused import Refused

__all__ = ["WatsonxChatModelConnection", "WatsonxChatModelSetup"]


class WatsonxChatModelConnection(Refused, BaseChatModelConnection):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.WatsonxChatModelConnection"

    INSTEAD: ClassVar = "use OpenAIChatModelConnection with the api_base_url of a compatible server"

    def chat(
        self, messages: Any, tools: Any = None, output_schema: Any = None, **kwargs: Any
    ) -> Any:
        """Refuse to."""
        self.open()


class WatsonxChatModelSetup(Refused, BaseChatModelSetup):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.WatsonxChatModelSetup"

    INSTEAD: ClassVar = "use OpenAIChatModelSetup"

    connection: str = ""
