"""Names of the events of a trace."""

from __future__ import annotations

from typing import Final

__all__ = ["ExecutionLifecycleEvents"]


class ExecutionLifecycleEvents:
    """Types of the events of a trace, and the status that each tells."""

    EXECUTION_STARTED_EVENT_TYPE: Final = "_execution_started_event"
    EXECUTION_FINISHED_EVENT_TYPE: Final = "_execution_finished_event"
    EXECUTION_FAILED_EVENT_TYPE: Final = "_execution_failed_event"
    EXECUTION_REUSED_EVENT_TYPE: Final = "_execution_reused_event"

    STATUS_STARTED: Final = "started"
    STATUS_SUCCESS: Final = "success"
    STATUS_FAILED: Final = "failed"
    STATUS_REUSED: Final = "reused"

    _STATUS: Final = {
        EXECUTION_STARTED_EVENT_TYPE: STATUS_STARTED,
        EXECUTION_FINISHED_EVENT_TYPE: STATUS_SUCCESS,
        EXECUTION_FAILED_EVENT_TYPE: STATUS_FAILED,
        EXECUTION_REUSED_EVENT_TYPE: STATUS_REUSED,
    }
    EVENT_TYPES: Final = frozenset(_STATUS)

    @classmethod
    def expected_status(cls, event_type: str) -> str | None:
        """Return the status that an event of this type tells; None of another type."""
        return cls._STATUS.get(event_type)
