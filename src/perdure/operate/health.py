"""What can be asked of this machine about keeping stores, for `perdure doctor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perdure.store.url import checks

__all__ = ["storage_checks"]


def storage_checks(store: str | None) -> Mapping[str, Callable[[], tuple[str, str]]]:
    """Return the checks by subject; each gives "ok", "warn" or "fail", and what was found.

    Args:
        store: URL of a store, for what depends on where it is; nothing of it changes.
    """
    return checks(store)
