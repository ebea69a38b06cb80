"""The filter language over the metadata of documents."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from perdure.errors import ConfigurationError

__all__ = ["AllOf", "AnyOf", "Comparison", "MetadataFilter", "Not", "Scalar", "parse_filters"]


Scalar = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """That a field of the metadata compares so with a value.

    Attributes:
        field: Its name.
        operator: One of `$eq $gt $gte $lt $lte $in $exists`.
        value: A scalar; with `$in` a tuple of them, with `$exists` a bool.
    """

    __journal_name__ = "perdure:Comparison"

    field: str
    operator: str
    value: Any

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so; of a field that holds a list, whether an element is."""
        if self.operator == "$exists":
            return (self.field in metadata) is self.value
        if self.field not in metadata:
            return False
        found = metadata[self.field]
        compare = _COMPARE[self.operator]
        if isinstance(found, list | tuple):
            return any(compare(each, self.value) for each in found)
        return compare(found, self.value)


@dataclasses.dataclass(frozen=True, slots=True)
class AllOf:
    """That all parts match."""

    __journal_name__ = "perdure:AllOf"

    parts: tuple[MetadataFilter, ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so."""
        return all(part.matches(metadata) for part in self.parts)


@dataclasses.dataclass(frozen=True, slots=True)
class AnyOf:
    """That at least one part matches."""

    __journal_name__ = "perdure:AnyOf"

    parts: tuple[MetadataFilter, ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so."""
        return any(part.matches(metadata) for part in self.parts)


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    """That a part does not match; a field that is not there matches nothing but this."""

    __journal_name__ = "perdure:Not"

    part: MetadataFilter

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so."""
        return not self.part.matches(metadata)


MetadataFilter = Comparison | AllOf | AnyOf | Not


def _kind(value: Any) -> type | None:
    # True is no number here, and a number is never equal to a text.
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return type(value)


def _equal(found: Any, wanted: Any) -> bool:
    return _kind(found) is _kind(wanted) and bool(found == wanted)


def _ordered(found: Any, wanted: Any) -> bool:
    kind = _kind(found)
    return kind is _kind(wanted) and kind in (float, str)


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": _equal,
    "$gt": lambda found, wanted: _ordered(found, wanted) and found > wanted,
    "$gte": lambda found, wanted: _ordered(found, wanted) and found >= wanted,
    "$lt": lambda found, wanted: _ordered(found, wanted) and found < wanted,
    "$lte": lambda found, wanted: _ordered(found, wanted) and found <= wanted,
    "$in": lambda found, wanted: any(_equal(found, each) for each in wanted),
}
_OF_FIELDS: Final = (*_COMPARE, "$ne", "$nin", "$exists")
_OF_FILTERS: Final = ("$and", "$or", "$not")


def parse_filters(filters: Mapping[str, Any] | None) -> MetadataFilter | None:
    """Return what a filter means, None where it asks for nothing.

    A filter is a dictionary. `{"field": value}` asks for equality, `{"field": {"$gt": 3}}` for a
    comparison (`$eq $ne $gt $gte $lt $lte $in $nin $exists`); several entries must all match.
    `{"$and": [...]}`, `{"$or": [...]}` and `{"$not": {...}}` combine filters. Values are texts,
    numbers, booleans and None. Texts and numbers never compare with each other; `$gt` and the like
    compare numbers, or texts by code points. A field that holds a list matches when an element
    does. A missing field matches only `$ne`, `$nin`, `$not` and `{"$exists": False}`.

    Args:
        filters: The filter; None for none.

    Raises:
        ConfigurationError: It is no such dictionary; the message names what is wrong.
    """
    if filters is None:
        return None
    parts = tuple(_entries(filters))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _entries(filters: Any) -> Iterator[MetadataFilter]:
    if not isinstance(filters, Mapping):
        raise ConfigurationError(
            f"a metadata filter is a dictionary such as {{'field': value}}, not {filters!r}"
        )
    for name, value in filters.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"metadata filter: {name!r} is no name of a field")
        if name.startswith("$"):
            yield _combined(name, value)
        elif isinstance(value, Mapping):
            if not value:
                raise ConfigurationError(f"metadata filter on {name!r}: {{}} asks for nothing")
            for operator, wanted in value.items():
                yield _compared(name, operator, wanted)
        else:
            yield Comparison(name, "$eq", _scalar(name, "$eq", value))


def _combined(operator: str, value: Any) -> MetadataFilter:
    if operator == "$not":
        return Not(_whole(value))
    if operator not in _OF_FILTERS:
        raise ConfigurationError(_unknown(operator, None))
    if not isinstance(value, list | tuple) or not value:
        raise ConfigurationError(f"metadata filter: {operator} takes a list of filters")
    parts = tuple(_whole(part) for part in value)
    return AllOf(parts) if operator == "$and" else AnyOf(parts)


def _whole(filters: Any) -> MetadataFilter:
    # No entry at all is what every document has.
    return parse_filters(filters if filters is not None else {}) or AllOf(())


def _compared(field: str, operator: Any, value: Any) -> MetadataFilter:
    if operator not in _OF_FIELDS:
        raise ConfigurationError(_unknown(operator, field))
    if operator == "$exists":
        if not isinstance(value, bool):
            raise ConfigurationError(f"metadata filter on {field!r}: $exists takes True or False")
        return Comparison(field, operator, value)
    if operator in ("$in", "$nin"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise ConfigurationError(f"metadata filter on {field!r}: {operator} takes a list")
        among = Comparison(field, "$in", tuple(_scalar(field, operator, each) for each in value))
        return among if operator == "$in" else Not(among)
    wanted = _scalar(field, operator, value)
    if operator == "$ne":
        return Not(Comparison(field, "$eq", wanted))
    if operator != "$eq" and _kind(wanted) not in (float, str):
        raise ConfigurationError(
            f"metadata filter on {field!r}: {operator} compares numbers or texts, not {wanted!r}"
        )
    return Comparison(field, operator, wanted)


def _scalar(field: str, operator: str, value: Any) -> Scalar:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ConfigurationError(
        f"metadata filter on {field!r}: {operator} takes a text, a number, a boolean or None, not"
        f" {value!r}"
    )


def _unknown(operator: Any, field: str | None) -> str:
    where = f" on {field!r}" if field else ""
    known = ", ".join(sorted(_OF_FIELDS if field else _OF_FILTERS))
    return f"metadata filter{where}: unknown operator {operator!r}; known are {known}"
