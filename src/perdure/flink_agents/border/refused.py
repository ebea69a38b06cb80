"""Refused: resources of theirs that there is no wire or store for here.

They are made, so that a file that names them loads, and refused when they are opened.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict

from perdure.errors import ConfigurationError

__all__ = ["Refused", "RefusedStore"]


class Refused:
    """A mixin of resources that cannot be opened."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    INSTEAD: ClassVar[str] = ""

    def open(self) -> None:
        """Refuse to.

        Raises:
            ConfigurationError: Always; it names what to use.
        """
        raise ConfigurationError(f"{type(self).__name__} is not supported here: {self.INSTEAD}")

    @property
    def model_kwargs(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def store_kwargs(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class RefusedStore(Refused):
    """A mixin of vector stores that cannot be opened, and so do nothing."""

    INSTEAD: ClassVar[str] = "subclass BaseVectorStore over a store of your own"

    def create_collection_if_not_exists(self, name: str, **kwargs: Any) -> None:
        """Refuse to."""
        self.open()

    def delete_collection(self, name: str) -> None:
        """Refuse to."""
        self.open()

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to."""
        self.open()

    def delete(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to."""
        self.open()

    def _query_embedding(self, *args: Any, **kwargs: Any) -> Any:
        self.open()
