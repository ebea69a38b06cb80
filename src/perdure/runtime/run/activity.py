"""RunActivity: what a run says that it is doing."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["RunActivity"]

STATUS: Final = "status"

Entry = tuple[str, str]  # a list, and the name of a value in it


class RunActivity:
    """A run's status, and lists beside it that several of its actions put values into.

    Without lists it is the status itself. With lists it is a mapping: each list by its name, and
    the status under "status".

    Owns: the status and the entries. Lifecycle: that of the run's execution. From what an earlier
    process published it takes the status alone: actions that go on enter their values again.

    Args:
        published: what was published last; None for nothing.
        has_lists: whether that is a mapping with lists.
    """

    def __init__(self, published: Any, *, has_lists: bool) -> None:
        self._status = published.get(STATUS) if has_lists else published
        self._entries: dict[Entry, Any] = {}

    def set(self, value: Any, entry: Entry | None) -> None:
        """Set the status, or an entry; an entry of None is taken out."""
        if entry is None:
            self._status = value
        elif value is None:
            self._entries.pop(entry, None)
        else:
            self._entries[entry] = value

    @property
    def has_lists(self) -> bool:
        """Whether what is shown is a mapping with lists."""
        return bool(self._entries)

    def shown(self) -> Any:
        """Return what is to be published."""
        if not self._entries:
            return self._status
        shown: dict[str, Any] = {} if self._status is None else {STATUS: self._status}
        for (name, _), value in self._entries.items():
            shown.setdefault(name, []).append(value)
        return shown
