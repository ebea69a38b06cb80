"""PlainElements: inputs of a DataStream as agents of theirs get them, under a selector's keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.engine.flink.elements import Elements
from perdure.engine.flink.spec import FunctionSpec
from perdure.errors import InputError
from perdure.flink_agents.border.events import plain

__all__ = ["PlainElements", "check_selector"]


def check_selector(selector: Any) -> None:
    """Refuse what selects no key.

    Raises:
        TypeError: It is such.
    """
    if not callable(_select(selector)):
        raise TypeError(
            f"key_selector is a {type(selector).__name__}: pass a KeySelector of PyFlink, or a"
            " function of an input"
        )


def _select(selector: Any) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = getattr(selector, "get_key", selector)
    return found


class PlainElements(Elements):
    """Makes plain data of the inputs of one stream, on one worker.

    Args:
        spec: The job.
        selector: A KeySelector, or a function, of what the stream carries; None: the stream's key.
    """

    def __init__(self, spec: FunctionSpec, selector: Any) -> None:
        super().__init__(spec, None, None)
        self._selector = selector

    def open(self, runtime_context: Any) -> None:
        if hasattr(self._selector, "get_key"):
            self._selector.open(runtime_context)

    def close(self) -> None:
        if hasattr(self._selector, "get_key"):
            self._selector.close()

    def value_of(self, given: Any) -> Any:
        try:
            return plain(super().value_of(given))
        except ValueError as error:  # pydantic's, too
            raise InputError(
                f"{self._place} is a {type(given).__name__} that is no plain data ({error}): map"
                " the stream to models, rows, or what JSON can hold"
            ) from error

    def key_of(self, given: Any, value: Any, stream_key: Any) -> Any:
        if self._selector is None:
            return stream_key
        try:
            return _select(self._selector)(given)
        except Exception as error:
            raise InputError(
                f"{self._place}: the key selector raised {type(error).__name__}: {error}"
            ) from error
