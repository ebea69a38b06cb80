"""What the answer of a chat shall fit, in a form that can be written as JSON."""

from __future__ import annotations

import importlib
from typing import Any, SupportsIndex

from pydantic import BaseModel, ConfigDict, field_serializer, model_validator

from perdure.engine.flink.output_types import basic_row, basic_types

__all__ = ["OutputSchema"]


class OutputSchema(BaseModel):
    """A pydantic model, or a row type of PyFlink, that the answer of a chat shall fit.

    Attributes:
        output_schema: The class.
    """

    __journal_name__ = "perdure:flink_agents.OutputSchema"

    model_config = ConfigDict(arbitrary_types_allowed=True)

    output_schema: Any

    @model_validator(mode="before")
    @classmethod
    def _from_written(cls, given: Any) -> Any:
        found = given.get("output_schema") if isinstance(given, dict) else None
        if isinstance(found, dict) and "module" in found:
            made: Any = importlib.import_module(found["module"])
            for part in found["class"].split("."):
                made = getattr(made, part)
            return {"output_schema": made}
        if isinstance(found, dict) and "names" in found:
            return {"output_schema": basic_row(found["names"], found["types"])}
        return given

    @model_validator(mode="after")
    def _check(self) -> OutputSchema:
        found = self.output_schema
        is_model = isinstance(found, type) and issubclass(found, BaseModel)
        if not is_model and type(found).__name__ != "RowTypeInfo":
            raise ValueError(f"Output schema {found!r} is neither a BaseModel nor a RowTypeInfo")
        return self

    @field_serializer("output_schema")
    def _written(self, found: Any) -> Any:
        if isinstance(found, type):
            return {"module": found.__module__, "class": found.__qualname__}
        return {"names": list(found.get_field_names()), "types": basic_types(found)}

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle a row type as it is written: it may hold what only this process has."""
        if isinstance(self.output_schema, type):
            return super().__reduce_ex__(protocol)
        return OutputSchema.model_validate, (self.model_dump(),)
