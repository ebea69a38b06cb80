"""What callables are made of, and which attributes are really theirs."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import pytest

from perdure.callables import MAX_LAYERS, attribute, innermost, is_coroutine_function, layers


def plain() -> None:
    pass


async def coroutine() -> None:
    pass


class Marked:
    mark = "of the class"
    __slots__ = ("slot",)

    def method(self) -> None:
        pass

    method.mark = "of the method"  # type: ignore[attr-defined]


class Everything:
    def __getattr__(self, name: str) -> Any:
        return Everything()


class Endless:
    @property
    def __wrapped__(self) -> Endless:
        return Endless()


def test_an_attribute_is_read_where_it_is_there() -> None:
    slotted, everything, mocked = Marked(), Everything(), mock.Mock()
    slotted.slot = everything.mark = mocked.mark = "own"
    partial = functools.partial(plain)
    partial.mark = "own"  # type: ignore[attr-defined]
    for thing in (everything, mocked, partial):
        assert attribute(thing, "mark") == "own"
    assert attribute(slotted, "slot") == "own"
    assert attribute(Marked, "mark") == attribute(slotted, "mark") == "of the class"
    assert attribute(slotted.method, "mark") == "of the method"


@pytest.mark.parametrize("thing", [Everything(), mock.Mock(), mock.MagicMock(), Marked(), plain])
def test_an_attribute_that_is_made_up_is_none(thing: Any) -> None:
    assert attribute(thing, "journal_form") is None
    assert attribute(thing, "journal_form", 5) == 5


def test_the_layers_of_a_callable_go_inwards_through_partials_methods_and_wrappers() -> None:
    @functools.wraps(plain)
    def wrapper() -> None:
        pass

    partial = functools.partial(wrapper)
    assert list(layers(partial)) == [partial, wrapper, plain]
    method = Marked().method
    assert list(layers(method)) == [method, Marked.method]
    assert innermost(plain) is plain


def test_layers_end_though_wrappers_do_not() -> None:
    one, other = Everything(), Everything()
    one.__wrapped__, other.__wrapped__ = other, one
    assert list(layers(one)) == [one, other]
    assert len(list(layers(Endless()))) == MAX_LAYERS
    assert len(list(layers(Everything()))) == 1


@pytest.mark.parametrize("make", [mock.Mock, mock.MagicMock])
def test_a_mock_of_a_function_is_no_coroutine_function(make: Any) -> None:
    assert not is_coroutine_function(make(spec=plain))
    assert is_coroutine_function(make(spec=coroutine))
    assert is_coroutine_function(mock.AsyncMock())
