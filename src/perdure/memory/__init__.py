"""Memory: what a run and a key remember, and long-term memory."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # `perdure.memory` was a module; what it had is still found here (see `moved`).
        return getattr(import_module("perdure.memory.memory"), name)
