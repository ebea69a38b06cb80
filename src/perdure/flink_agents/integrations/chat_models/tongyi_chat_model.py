"""Chat models of Tongyi."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.flink_agents.api.chat_models.chat_model import (
    BaseChatModelConnection,
    BaseChatModelSetup,
)
from perdure.flink_agents.border.refused import Refused

__all__ = ["TongyiChatModelConnection", "TongyiChatModelSetup"]


class TongyiChatModelConnection(Refused, BaseChatModelConnection):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.TongyiChatModelConnection"

    INSTEAD: ClassVar = "use OpenAIChatModelConnection with DashScope's api_base_url"

    def chat(
        self, messages: Any, tools: Any = None, output_schema: Any = None, **kwargs: Any
    ) -> Any:
        """Refuse to."""
        self.open()


class TongyiChatModelSetup(Refused, BaseChatModelSetup):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.TongyiChatModelSetup"

    INSTEAD: ClassVar = "use OpenAIChatModelSetup"

    connection: str = ""
