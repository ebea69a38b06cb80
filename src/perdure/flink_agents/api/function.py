"""Functions by their names."""

from __future__ import annotations

import importlib
from abc import ABC
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, PrivateAttr

__all__ = ["ACTION_PARAMETER_TYPES", "Function", "JavaFunction", "PythonFunction"]

ACTION_PARAMETER_TYPES = [
    "org.apache.flink.agents.api.Event",
    "org.apache.flink.agents.api.context.RunnerContext",
]


class Function(BaseModel, ABC):
    """A function of some language, by its name."""

    __journal_name__ = "perdure:flink_agents.Function"


class PythonFunction(Function):
    """A Python function, by module and qualified name.

    Attributes:
        module: Its module.
        qualname: Its name in it.
    """

    __journal_name__ = "perdure:flink_agents.PythonFunction"

    module: str
    qualname: str
    _func: Callable[..., Any] | None = PrivateAttr(default=None)

    @staticmethod
    def from_callable(func: Callable[..., Any]) -> PythonFunction:
        """Return a function by its name; it is the same function again in this process."""
        func = getattr(func, "__func__", func)
        made = PythonFunction(module=func.__module__, qualname=func.__qualname__)
        made._func = func
        return made

    def as_callable(self) -> Callable[..., Any]:
        """Return the function.

        Raises:
            AttributeError: The module has no such function.
        """
        if self._func is None:
            found: Any = importlib.import_module(self.module)
            for part in self.qualname.split("."):
                found = getattr(found, part)
            self._func = found
        return self._func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.as_callable()(*args, **kwargs)


class JavaFunction(Function):
    """A Java method: it can be named, not called.

    Attributes:
        qualname: The class.
        method_name: The method.
        parameter_types: Its parameters' types.
    """

    __journal_name__ = "perdure:flink_agents.JavaFunction"

    qualname: str
    method_name: str
    parameter_types: list[str]

    def as_callable(self) -> Callable[..., Any]:
        """Refuse to.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f"{self.qualname}.{self.method_name} is Java, which is not called here: write it in"
            " Python"
        )
