"""Configuration: what can be set, and how it is read from arguments, files and the environment."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # `perdure.config` was a module; what it had is still found here (see `moved`).
        return getattr(import_module("perdure.config.configuration"), name)
