"""Sub-agents: what another agent, which need not run here, is asked to do."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, field_validator, model_validator

from perdure.flink_agents.api.resource import (
    CALLABLE_NAME_PREFIX,
    ResourceType,
    SerializableResource,
)
from perdure.printable import printable_logger

if TYPE_CHECKING:
    from perdure.flink_agents.api.runner_context import RunnerContext

__all__ = [
    "CALLABLE_NAME_PREFIX",
    "SubagentFuture",
    "SubagentFutures",
    "SubagentMetadataProvider",
    "SubagentResult",
    "SubagentSetup",
]

logger = printable_logger("perdure")

_ANYTHING: Final = object  # what a sub-agent takes, or gives, that declares no type


@dataclass
class SubagentResult:
    """What came of one call of a sub-agent: a failure is in it, and is not raised.

    Attributes:
        success: Whether it went well.
        result: What the sub-agent gave.
        error_message: Why it failed; None where it did not.
    """

    __journal_name__ = "perdure:flink_agents.SubagentResult"

    success: bool
    result: Any = None
    error_message: str | None = None

    @staticmethod
    def ok(result: Any) -> SubagentResult:
        """Return one of a call that went well."""
        return SubagentResult(True, result)

    @staticmethod
    def error(error: BaseException | str) -> SubagentResult:
        """Return one of a call that failed; of an exception its class and text are kept."""
        if isinstance(error, BaseException):
            logger.warning("a sub-agent failed", exc_info=error)
            error = f"{type(error).__name__}: {error}"
        return SubagentResult(False, error_message=error)

    @property
    def exception(self) -> Exception | None:
        """The failure as an exception, for who would raise it; None where there is none."""
        return None if self.success else RuntimeError(self.error_message)


class SubagentFuture(ABC):
    """One call of a sub-agent: awaited, it gives a SubagentResult.

    Args:
        session_id: The conversation that it belongs to.
        call_id: Its id in that.
    """

    def __init__(self, session_id: str, call_id: str) -> None:
        self._session_id = session_id
        self._call_id = call_id

    @property
    def session_id(self) -> str:
        """The conversation that the call belongs to."""
        return self._session_id

    @property
    def call_id(self) -> str:
        """The call's id in its conversation."""
        return self._call_id

    @property
    def identity(self) -> str:
        """Both ids: what the call is known by, in the journal too."""
        return f"{self._session_id}#{self._call_id}"

    @abstractmethod
    def done(self) -> bool:
        """Say whether the call has ended."""

    def cancel(self) -> None:
        """Give the call up: awaited later, it raises concurrent.futures.CancelledError."""

    @abstractmethod
    def combine(self, *others: SubagentFuture) -> SubagentFutures:
        """Return this call and others, to be awaited together."""

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, SubagentResult]:
        """Wait until the call has ended; the sub-agent's failure is in what is returned."""


class SubagentFutures(ABC):
    """Several calls of sub-agents: awaited, they give their results in the order of the calls."""

    @abstractmethod
    def done(self) -> bool:
        """Say whether all have ended."""

    def cancel(self) -> None:
        """Give all of them up."""

    @abstractmethod
    def combine(self, *others: SubagentFuture) -> SubagentFutures:
        """Return these and more."""

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, list[SubagentResult]]:
        """Wait until all have ended."""


class SubagentMetadataProvider(ABC):
    """What an agent says of itself as a sub-agent."""

    @abstractmethod
    def get_subagent_description(self) -> str | None:
        """Return what it is for."""

    @abstractmethod
    def get_subagent_input_schema(self) -> str | None:
        """Return the JSON schema of its arguments, as a text."""


class SubagentSetup(SerializableResource):
    """How a sub-agent is called: an AGENT resource.

    Attributes:
        description: What it is for, for the chat model that may ask it.
        input_schema: JSON schema of its arguments, as a text; by default that of `input_type`. A
            chat model can ask only one that has a schema.
    """

    __journal_name__ = "perdure:flink_agents.SubagentSetup"

    description: str = ""
    input_schema: str | None = None

    @field_validator("input_schema")
    @classmethod
    def _not_blank(cls, given: str | None) -> str | None:
        if given is not None and not given.strip():
            raise ValueError("Sub-agent input schema must not be blank: leave it out")
        return given

    @model_validator(mode="after")
    def _of_the_type(self) -> SubagentSetup:
        if self.input_schema is None:
            self.input_schema = _schema_of(type(self).input_type())
        return self

    @classmethod
    def input_type(cls) -> type:
        """Return the pydantic model of the arguments; `object`: nothing is said of them."""
        return _ANYTHING

    @classmethod
    def result_type(cls) -> type:
        """Return what results are read as for a chat model; `object`: as they are."""
        return _ANYTHING

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.AGENT."""
        return ResourceType.AGENT

    @abstractmethod
    async def submit(
        self,
        ctx: RunnerContext,
        prompt: Any,
        session_id: str | None = None,
        call_id: str | None = None,
    ) -> SubagentFuture:
        """Call the sub-agent, and return the call, to be awaited.

        Args:
            ctx: The context of the action, an `async def` one.
            prompt: What it shall do.
            session_id: The conversation to go on with; None: a new one.
            call_id: The id of the call in its conversation; None: the next one of this action.
        """


def _schema_of(input_type: type) -> str | None:
    """Return the JSON schema of a pydantic model, as a text; None where nothing is said.

    Raises:
        TypeError: There is none for this type.
    """
    if input_type is _ANYTHING:
        return None
    if not isinstance(input_type, type) or not issubclass(input_type, BaseModel):
        raise TypeError(
            f"Sub-agent input type {input_type!r} is not supported: return a pydantic model, or"
            " set input_schema"
        )
    try:
        return json.dumps(input_type.model_json_schema())
    except Exception as error:  # a model's own code makes it
        raise TypeError(
            f"Sub-agent input type {input_type.__qualname__} has no JSON schema ({error}): set"
            " input_schema"
        ) from error
