"""The types of the built-in events, as strings."""

from __future__ import annotations

from typing import Final

__all__ = ["EventType"]


class EventType:
    """The types of the built-in events, for `@action` and conditions."""

    InputEvent: Final = "_input_event"
    OutputEvent: Final = "_output_event"
    ChatRequestEvent: Final = "_chat_request_event"
    ChatResponseEvent: Final = "_chat_response_event"
    ToolRequestEvent: Final = "_tool_request_event"
    ToolResponseEvent: Final = "_tool_response_event"
    ContextRetrievalRequestEvent: Final = "_context_retrieval_request_event"
    ContextRetrievalResponseEvent: Final = "_context_retrieval_response_event"
    ShortTermWriteEvent: Final = "_short_term_write_event"
    ShortTermReadEvent: Final = "_short_term_read_event"
    SensoryWriteEvent: Final = "_sensory_write_event"
    SensoryReadEvent: Final = "_sensory_read_event"
    LongTermUpdateEvent: Final = "_long_term_update_event"
    LongTermGetEvent: Final = "_long_term_get_event"
    LongTermSearchEvent: Final = "_long_term_search_event"
    AgentRunBeginEvent: Final = "_agent_run_begin_event"
