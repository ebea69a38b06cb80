"""JSON schemas, draft 2020-12: what validates by them, and what is wrong with one."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from perdure.errors import missing_extra

__all__ = ["fault_of", "json_validator"]


def json_validator(schema: Mapping[str, Any]) -> Any:
    """Return the validator of a JSON schema, of jsonschema's.

    Raises:
        ConfigurationError: The extra `llm` is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
        from referencing import Registry
    except ImportError as error:
        raise missing_extra("an output schema", "llm", error) from None
    # With a registry of its own it fetches no schema that this one refers to.
    return Draft202012Validator(schema, registry=Registry())


@functools.lru_cache(maxsize=256)
def fault_of(written: str, used: str) -> str | None:
    """Return what is wrong with a JSON schema, in words; None: nothing.

    Args:
        written: The schema as JSON, as it was written.
        used: The schema that is made of it, whose references count.

    Raises:
        ConfigurationError: The extra `llm` is not installed.
    """
    try:
        schema = json.loads(used)
        validator = json_validator(schema)
        from jsonschema import SchemaError

        validator.check_schema(json.loads(written))
        return _lost_reference(schema)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"
    except RecursionError:
        return "it is nested too deep"


def _lost_reference(schema: Any) -> str | None:
    """Return which reference of a schema leads nowhere; nothing is fetched."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    root = DRAFT202012.create_resource(schema)
    left = [(root, REGISTRY.resolver_with_root(root))]
    seen: set[int] = set()
    while left:
        resource, resolver = left.pop()
        if id(resource.contents) in seen or not isinstance(resource.contents, dict):
            continue
        seen.add(id(resource.contents))
        for key in ("$ref", "$dynamicRef"):
            reference = resource.contents.get(key)
            if reference is None:
                continue
            try:
                found = resolver.lookup(reference)
            except (Unresolvable, ValueError):
                return f"its {key} {reference!r} leads nowhere: put what it means under $defs"
            left.append((DRAFT202012.create_resource(found.contents), found.resolver))
        left += [(each, resolver.in_subresource(each)) for each in resource.subresources()]
    return None
