"""What Flink's types want of an agent's outputs, and that only what fits is sent to it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import pickle
from typing import Any

import pytest
from pyflink.common import Row, Types

from perdure.engine.flink.output_types import fitted, shape_of
from perdure.errors import EncodeError

NAMED = Types.ROW_NAMED(["id", "score"], [Types.STRING(), Types.DOUBLE()])
NESTED = Types.ROW_NAMED(["id", "of"], [Types.STRING(), Types.LIST(NAMED)])
DAY, NOON = datetime.date(2026, 11, 3), datetime.time(12, 0)


@dataclasses.dataclass
class Scored:
    id: str
    score: float


@pytest.mark.parametrize(
    ("value", "of", "sent"),
    [
        ("a", Types.STRING(), "a"),
        (7, Types.LONG(), 7),
        (-128, Types.BYTE(), -128),
        (7, Types.DOUBLE(), 7.0),
        (True, Types.BOOLEAN(), True),
        (2**62, Types.BIG_INT(), 2**62),
        (decimal.Decimal("1.5"), Types.BIG_DEC(), decimal.Decimal("1.5")),
        (b"ab", Types.PRIMITIVE_ARRAY(Types.BYTE()), b"ab"),
        ((1, 2), Types.PRIMITIVE_ARRAY(Types.INT()), [1, 2]),
        (["a", None], Types.BASIC_ARRAY(Types.STRING()), ["a", None]),
        ({"a": [1]}, Types.MAP(Types.STRING(), Types.LIST(Types.INT())), {"a": [1]}),
        (DAY, Types.SQL_DATE(), DAY),
        (NOON, Types.SQL_TIME(), NOON),
        (["a", None], Types.TUPLE([Types.STRING(), Types.INT()]), ("a", None)),
        (["a", 1], Types.ROW([Types.STRING(), Types.INT()]), Row("a", 1)),
        ({"score": 1, "id": "a"}, NAMED, Row(id="a", score=1.0)),
        (Scored("a", 0.5), NAMED, Row(id="a", score=0.5)),
        ({"id": "a", "of": [Scored("b", 1)]}, NESTED, Row(id="a", of=[Row(id="b", score=1.0)])),
        ({"a": object}, Types.PICKLED_BYTE_ARRAY(), {"a": object}),
        (Row(id="a", score=1.0), NAMED, Row(id="a", score=1.0)),
    ],
)
def test_what_fits_is_sent_as_its_type_wants_it(value: Any, of: Any, sent: Any) -> None:
    shape = pickle.loads(pickle.dumps(shape_of(of)))  # it crosses to the workers
    made = fitted(value, shape)
    assert made == sent
    assert type(made) is type(sent)


@pytest.mark.parametrize(
    ("value", "of", "told"),
    [
        (None, Types.STRING(), "output is None and does not fit String"),
        (7, Types.STRING(), "output is 7 and does not fit"),
        (True, Types.INT(), "output is True"),
        (True, Types.DOUBLE(), "output is True"),
        (False, Types.BIG_INT(), "output is False"),
        (1, Types.BOOLEAN(), "output is 1"),
        (128, Types.BYTE(), "which is not of 8 bits"),
        (2**63, Types.LONG(), "which is not of 64 bits"),
        (2**63, Types.BIG_INT(), "which is not of 64 bits"),
        (10**400, Types.DOUBLE(), "which is too large"),
        ("\ud800", Types.STRING(), "which is no Unicode text"),
        ([None], Types.LIST(Types.STRING()), r"output\[0\] is None"),
        (1.0, Types.INT(), "output is 1.0"),
        ("ab", Types.LIST(Types.STRING()), "output is 'ab'"),
        (["a", 1], Types.LIST(Types.STRING()), r"output\[1\] is 1"),
        ([1, None], Types.PRIMITIVE_ARRAY(Types.INT()), r"output\[1\] is None"),
        ("ab", Types.PRIMITIVE_ARRAY(Types.BYTE()), "output is 'ab'"),
        ({1: "a"}, Types.MAP(Types.STRING(), Types.STRING()), "a key of output is 1"),
        ({"a": 1}, Types.MAP(Types.STRING(), Types.STRING()), r"output\['a'\] is 1"),
        ([("a", 1)], Types.MAP(Types.STRING(), Types.INT()), "output is"),
        (["a"], Types.TUPLE([Types.STRING(), Types.INT()]), "has 1 parts and not 2"),
        ({"id": "a"}, NAMED, "which lacks score,"),
        ({"id": "a", "score": 1, "x": 1, "y": 2}, NAMED, "which also has x, y,"),
        ({"id": "a", "score": "high"}, NAMED, "output.score is 'high'"),
        ({"id": "a", "of": [{"id": 1, "score": 1}]}, NESTED, r"output.of\[0\].id is 1"),
        ("a", NAMED, "output is 'a' and does not fit"),
        (Scored, NAMED, "does not fit"),
        ("x" * 1000, Types.INT(), "xxx…"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(value: Any, of: Any, told: str) -> None:
    with pytest.raises(EncodeError, match=told) as refusal:
        fitted(value, shape_of(of))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500
