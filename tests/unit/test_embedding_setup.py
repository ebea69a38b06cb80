"""An embedding setup says what each request is given, by settings or by a property of its own."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from perdure import BaseEmbeddingModelConnection, BaseEmbeddingModelSetup, TerminalError


class Counting(BaseEmbeddingModelConnection):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[dict[str, Any]] = []

    def embed(self, text: Any, **kwargs: Any) -> Any:
        self.given.append(kwargs)
        return [[1.0] for _ in text]


class Own(BaseEmbeddingModelSetup):
    """As Flink Agents has it: the property is its own."""

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": f"own {self.model}", "dimensions": 2}


def test_a_property_of_its_own_is_what_requests_are_given() -> None:
    connection = Counting()
    assert asyncio.run(Own(connection, "m").embed("x")) == [1.0]
    assert connection.given == [{"model": "own m", "dimensions": 2}]


def test_settings_are_what_requests_are_given_and_an_argument_goes_before_them() -> None:
    connection = Counting()
    setup = BaseEmbeddingModelSetup(connection, "m", dimensions=3, user="u")
    assert setup.model_kwargs == {"dimensions": 3, "user": "u"}
    asyncio.run(setup.embed(["x"], dimensions=4))
    assert connection.given == [{"model": "m", "dimensions": 4, "user": "u"}]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    class Odd(Counting):
        def embed(self, text: Any, **kwargs: Any) -> Any:
            return [[1.0, number] for _ in text]

    with pytest.raises(TerminalError, match=r"^embedding model 'm' returned an .* NaN"):
        asyncio.run(BaseEmbeddingModelSetup(Odd(), "m").embed("x"))
