"""From the outputs of an agent to values that Flink's type of them takes.

PyFlink writes a value by its type without a look at it: one that does not fit ends the worker, and
Flink restores the job to meet the same value again, for ever. So what a type wants is told as plain
data where the job is described, and each output is held against that where it leaves.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from perdure.errors import EncodeError

if TYPE_CHECKING:
    from pyflink.common.typeinfo import TypeInformation

__all__ = ["ANY", "Shape", "basic_row", "basic_types", "fitted", "shape_of"]

# What a type wants, as plain data: its kind, what it is called, and what it is made of.
Shape = tuple[Any, ...]

ANY: Final[Shape] = ("any", "anything")

# Bits; PyFlink writes a big integer as a long.
_WHOLE: Final = {"Byte": 8, "Short": 16, "Integer": 32, "Long": 64, "BigInteger": 64}
_TEXTS: Final = ("String", "Char")
_NUMBERS: Final = ("Float", "Double")
_CLASSES: Final[dict[str, type]] = {
    "Boolean": bool,
    "BigDecimal": decimal.Decimal,
    "DateTypeInfo": datetime.date,
    "TimeTypeInfo": datetime.time,
    "TimestampTypeInfo": datetime.datetime,
}


def shape_of(output_type: TypeInformation) -> Shape:
    """Return what a type of Flink wants of a value; needs pyflink."""
    from pyflink.common import typeinfo as flink

    if isinstance(output_type, flink.ExternalTypeInfo):  # of the Table API, around one of ours
        return shape_of(vars(output_type)["_type_info"])
    of, called = output_type, str(output_type)
    if isinstance(of, flink.RowTypeInfo):
        names = tuple(of.get_field_names())
        return ("row", called, names, tuple(map(shape_of, of.get_field_types())))
    if isinstance(of, flink.TupleTypeInfo):
        return ("tuple", called, tuple(map(shape_of, of.get_field_types())))
    if isinstance(of, flink.MapTypeInfo):
        return ("map", called, shape_of(of._key_type_info), shape_of(of._value_type_info))
    if isinstance(of, flink.BasicArrayTypeInfo | flink.ObjectArrayTypeInfo):
        return ("array", called, shape_of(of._element_type))
    if isinstance(of, flink.ListTypeInfo | flink.PrimitiveArrayTypeInfo):  # written as one thing
        element = of.elem_type if isinstance(of, flink.ListTypeInfo) else of._element_type
        if element == flink.Types.BYTE():
            return ("bytes", called)
        return ("list", called, shape_of(element))
    is_basic = isinstance(of, flink.BasicTypeInfo)
    name = of._basic_type.value if is_basic else type(of).__name__
    if name in _WHOLE:
        return ("whole", called, _WHOLE[name])
    if name in _NUMBERS:
        return ("number", called)
    if name in _TEXTS:
        return ("text", called)
    return ("one of", called, name) if name in _CLASSES else ANY


def basic_row(names: list[str], types: list[str]) -> TypeInformation:
    """Return the type of a row of basic types, by their names; needs pyflink.

    Raises:
        ValueError: there is no such type.
    """
    from pyflink.common import typeinfo as flink

    fields = [flink.BasicTypeInfo(flink.BasicType(each)) for each in types]
    return flink.RowTypeInfo(fields, names)


def basic_types(row: TypeInformation) -> list[str]:
    """Return the names of the basic types of a row's fields."""
    return [vars(each)["_basic_type"].value for each in row.get_field_types()]


def fitted(value: Any, shape: Shape) -> Any:
    """Return a value as its type wants it: a dict, or an object with fields, becomes a Row.

    Raises:
        EncodeError: it does not fit; the message says where.
    """
    return _FITS[shape[0]](value, shape, "output")


def _inner(value: Any, shape: Shape, where: str) -> Any:
    """As `fitted`, of a part: there is none where it is None."""
    return None if value is None else _FITS[shape[0]](value, shape, where)


def _as_it_is(value: Any, shape: Shape, where: str) -> Any:
    return value


def _one_of(value: Any, shape: Shape, where: str) -> Any:
    if not isinstance(value, _CLASSES[shape[2]]):
        raise _unfit(value, shape, where)
    return value


def _text(value: Any, shape: Shape, where: str) -> Any:
    if not isinstance(value, str):
        raise _unfit(value, shape, where)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _unfit(value, shape, where, "which is no Unicode text") from None
    return value


def _whole(value: Any, shape: Shape, where: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unfit(value, shape, where)
    if not -(1 << shape[2] - 1) <= value < 1 << shape[2] - 1:
        raise _unfit(value, shape, where, f"which is not of {shape[2]} bits")
    return value


def _number(value: Any, shape: Shape, where: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(value, shape, where)
    try:
        return float(value)
    except OverflowError:
        raise _unfit(value, shape, where, "which is too large") from None


def _bytes(value: Any, shape: Shape, where: str) -> Any:
    if not isinstance(value, bytes | bytearray):
        raise _unfit(value, shape, where)
    return bytes(value)


def _list(value: Any, shape: Shape, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _unfit(value, shape, where)
    fit = _inner if shape[0] == "array" else _part
    return [fit(each, shape[2], f"{where}[{n}]") for n, each in enumerate(value)]


def _part(value: Any, shape: Shape, where: str) -> Any:
    return _FITS[shape[0]](value, shape, where)


def _map(value: Any, shape: Shape, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _unfit(value, shape, where)
    _, _, of_keys, of_values = shape
    return {
        _part(key, of_keys, f"a key of {where}"): _inner(each, of_values, f"{where}[{key!r}]")
        for key, each in value.items()
    }


def _tuple(value: Any, shape: Shape, where: str) -> Any:
    return tuple(_parts(value, shape, where, shape[2]))


def _parts(value: Any, shape: Shape, where: str, of: tuple[Shape, ...]) -> list[Any]:
    """Return the parts of a list or tuple, which has one for each shape."""
    if not isinstance(value, list | tuple):
        raise _unfit(value, shape, where)
    if len(value) != len(of):
        raise _unfit(value, shape, where, f"which has {len(value)} parts and not {len(of)}")
    return [
        _inner(each, part, f"{where}[{n}]")
        for n, (each, part) in enumerate(zip(value, of, strict=True))
    ]


def _row(value: Any, shape: Shape, where: str) -> Any:
    from pyflink.common import Row

    if isinstance(value, Row):
        return value
    _, _, names, of = shape
    if isinstance(value, list | tuple):
        return Row(*_parts(value, shape, where, of))
    fields = _fields(value, shape, where)
    lacks = [name for name in names if name not in fields]
    odd = [str(name) for name in fields if name not in names]
    if lacks or odd:
        what = "lacks " + ", ".join(lacks) if lacks else "also has " + ", ".join(odd)
        raise _unfit(value, shape, where, f"which {what}")
    row = Row(*(_inner(fields[n], part, f"{where}.{n}") for n, part in zip(names, of, strict=True)))
    row.set_field_names(list(names))
    return row


def _fields(value: Any, shape: Shape, where: str) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    of_model = getattr(type(value), "model_fields", None)  # pydantic, which is not imported for it
    if of_model is None:
        raise _unfit(value, shape, where)
    return {name: getattr(value, name) for name in of_model}


def _unfit(value: Any, shape: Shape, where: str, why: str = "") -> EncodeError:
    shown = repr(value)
    if len(shown) > 200:
        shown = shown[:200] + "…"
    told = f", {why}," if why else ""
    return EncodeError(
        f"{where} is {shown}{told} and does not fit {shape[1]}: send what fits, or pass apply"
        " another output_type="
    )


_FITS: Final[dict[str, Callable[[Any, Shape, str], Any]]] = {
    "any": _as_it_is,
    "one of": _one_of,
    "text": _text,
    "whole": _whole,
    "number": _number,
    "bytes": _bytes,
    "array": _list,
    "list": _list,
    "map": _map,
    "tuple": _tuple,
    "row": _row,
}
