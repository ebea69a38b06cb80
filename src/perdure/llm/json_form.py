"""What a pydantic type makes of the JSON values of a model."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["of_json"]


def of_json(validator: Any, data: Any) -> Any:
    """Return what a validator of pydantic's makes of JSON values.

    Values that fit as those of Python cost nothing more. Else they are read as JSON: strict types,
    whose values JSON has no form for, take a date's text, or an array for a set, only there.

    Raises:
        ValueError: They do not fit.
    """
    try:
        return validator.validate_python(data)
    except ValueError as error:
        try:
            text = json.dumps(data)
        except (TypeError, ValueError, RecursionError):
            raise error from None  # no JSON: somebody's own values
        try:
            return validator.validate_json(text)
        except ValueError as of_text:
            raise (error if _is_no_json(of_text) else of_text) from None


def _is_no_json(error: Any) -> bool:
    """Say whether pydantic takes something for no JSON at all, such as a lone surrogate."""
    return hasattr(error, "errors") and error.errors(include_url=False)[0]["type"] == "json_invalid"
