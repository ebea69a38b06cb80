"""Agents: declared as classes or by calls, loaded from code, compiled to a frozen plan."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # `perdure.agent` was a module; what it had is still found here (see `moved`).
        return getattr(import_module("perdure.agent.declaration"), name)
