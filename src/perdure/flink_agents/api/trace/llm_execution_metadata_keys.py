"""What a trace says of a request to a model."""

from __future__ import annotations

from typing import Final

__all__ = ["LLMExecutionMetadataKeys"]


class LLMExecutionMetadataKeys:
    """Keys of what a trace says of a request to a model."""

    MODEL: Final = "model"
