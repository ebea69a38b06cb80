"""What the answer of a chat shall fit, in a form that can be written as JSON."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import BaseModel, ConfigDict, field_serializer, model_validator

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
        return {"names": list(found.get_field_names())}
