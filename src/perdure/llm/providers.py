"""Which classes stand behind what needs no class to be named, such as `ChatModel("openai:...")`.

Nothing here knows a library: `integrations` says which of its classes are meant.
"""

from __future__ import annotations

from typing import Final

from perdure.errors import ConfigurationError
from perdure.resource import ResourceType

__all__ = ["provider", "register_provider"]

_CLASSES: Final[dict[tuple[ResourceType, str], str]] = {}


def register_provider(type: ResourceType, clazz: str, name: str = "") -> None:
    """Say which class makes resources of a type; the last one said is taken.

    Args:
        type: What sort of resource.
        clazz: `package.module.Class`; it is imported when a resource is made.
        name: A provider's name; "": whichever has none of its own.
    """
    _CLASSES[type, name] = clazz


def provider(type: ResourceType, name: str = "") -> str:
    """Return the full name of the class that makes resources of a type for a provider.

    Raises:
        ConfigurationError: Nobody has said which.
    """
    found = _CLASSES.get((type, name)) or _CLASSES.get((type, ""))
    if found is None:
        raise ConfigurationError(
            f"no class is known for a {type.value} of {name or 'any provider'!r}:"
            " import perdure.integrations.providers first, or call register_provider"
        )
    return found
