"""A shop whose classes and functions move from module to module between two lives of a job."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from tests.promises.support import State

from perdure.codec.names import NAMES
from perdure.codec.types import GLOBAL_TYPES

SOURCE = """
import dataclasses
import enum

from perdure import Event, durable


class Kind(enum.Enum):
    BOOK = "book"
    RECORD = "record"


@dataclasses.dataclass(frozen=True)
class Order:
    n: int

    def doubled(self) -> "Order":
        note(f"doubled {self.n}")
        return Order(self.n * 2)


class OutOfStock(Exception):
    pass


class Ordered(Event):
    order: Order
    kind: Kind


@durable(id="price", aliases=("shop_one:price",))
def price(order: Order) -> Order:
    note(f"price {order.n}")
    return Order(order.n + 1)


@durable(id="reserve")
async def reserve(kind: Kind, order: Order) -> list[Order]:
    note(f"reserve {order.n}")
    raise OutOfStock(f"no {kind.value} {order.n}")
"""


def module(name: str) -> types.ModuleType:
    """Return the shop as a module of this name."""
    made = types.ModuleType(name)
    made.__dict__["note"] = State.calls.append
    sys.modules[name] = made
    exec(compile(SOURCE, f"{name}.py", "exec"), made.__dict__)
    return made


Register = Callable[[types.ModuleType], Any]


@contextlib.contextmanager
def life(name: str, register: Register) -> Iterator[types.ModuleType]:
    """A process in which the shop is the module `name`; it knows what `register` makes known."""
    before = dict(sys.modules)
    with (
        mock.patch.object(NAMES, "_given", type(NAMES._given)()),
        mock.patch.object(NAMES, "_classes", {}),
        mock.patch.object(GLOBAL_TYPES, "_shapes", {}),
    ):
        NAMES.version += 1
        try:
            made = module(name)
            register(made)
            yield made
        finally:
            NAMES.version += 1
            for gone in sys.modules.keys() - before.keys():
                if gone.startswith("shop_"):
                    del sys.modules[gone]
