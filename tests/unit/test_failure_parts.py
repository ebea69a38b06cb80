"""G9: exceptions that carry others, set their arguments themselves, or have them in odd places."""

from __future__ import annotations

import asyncio
import decimal
import email.message
import errno
import json
import smtplib
import socket
import ssl
import subprocess
import sys
import types
import urllib.error
from typing import Any

import httpx
import pytest

from perdure import DurableCallError
from perdure.codec.codec import Codec
from perdure.codec.failure import (
    TRACEBACK_ATTRIBUTE,
    decode_failure,
    encode_failure,
    failure_summary,
)
from perdure.errors import DecodeError

CODEC = Codec()


class GaveUp(Exception):
    """Raised with the failure that it gave up for."""


class Both(ValueError, OSError):
    """Laid out as its second base is."""


class Numbered(OSError):
    """Sets what its base would have taken from its arguments."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.errno = number


class Private(Exception):
    """Keeps its code to itself."""

    __slots__ = ("__code",)

    def __init__(self, code: int) -> None:
        super().__init__("denied")
        self.__code = code

    @property
    def code(self) -> int:
        """The code."""
        return self.__code


class _Inner(Private):
    """Has a slot of the same name in a class of another one."""

    __slots__ = ("__code", "plain")

    def __init__(self) -> None:
        super().__init__(1)
        self.__code, self.plain = 2, 3

    @property
    def codes(self) -> tuple[int, int]:
        """Both."""
        return self.code, self.__code


class Keyword(Exception):
    """Takes its arguments by keyword, as clients do, and wraps."""

    def __init__(self, *, request: Any, reason: Exception) -> None:
        super().__init__(f"refused: {reason}")
        self.request, self.reason = request, reason


class NotesError(Exception):
    """Its notes cannot be had."""

    @property
    def __notes__(self) -> Any:
        raise RuntimeError("no notes")


class Silent(Exception):
    """Its text raises what is no ordinary exception."""

    def __str__(self) -> str:
        raise SystemExit


def again(exc: BaseException, codec: Codec = CODEC) -> Any:
    try:
        raise exc
    except BaseException as raised:
        return decode_failure(codec, encode_failure(codec, raised))


def number_error() -> Exception:
    with pytest.raises(decimal.InvalidOperation) as refused:
        decimal.Decimal("12,5")
    return refused.value


REQUEST = httpx.Request("GET", "http://a")
EVERYDAY: list[Exception] = [
    urllib.error.URLError(ConnectionRefusedError(111, "refused")),
    urllib.error.HTTPError("http://a", 404, "gone", email.message.Message(), None),
    number_error(), GaveUp("after 3", ConnectionError("down")), GaveUp({"a": [KeyError("k")]}),
    GaveUp(ValueError, (OSError, 1)), GaveUp(KeyboardInterrupt),
    smtplib.SMTPAuthenticationError(535, b"bad credentials"),
    smtplib.SMTPConnectError(421, "busy"), smtplib.SMTPRecipientsRefused({"a": (550, b"no")}),
    Both("bad"), Both(2, "gone", "/a"), Private(7), Numbered(5, "io"),
    Keyword(request=object(), reason=OSError(5, "io")),
    httpx.ConnectError("refused", request=REQUEST),
    httpx.HTTPStatusError("404", request=REQUEST, response=httpx.Response(404)),
    json.JSONDecodeError("m", "doc", 1), subprocess.CalledProcessError(1, ["a"], b"o", b"e"),
    subprocess.TimeoutExpired("a", 3.0), asyncio.IncompleteReadError(b"x", 5),
    socket.gaierror(-2, "unknown"), ssl.SSLError(1, "[SSL] x"),
    ssl.SSLCertVerificationError(1, "bad"), ConnectionResetError(104, "reset"),
]  # fmt: skip


@pytest.mark.parametrize("exc", EVERYDAY, ids=lambda exc: type(exc).__name__)
def test_g9_everyday_failures_come_back_as_their_own_type(exc: Exception) -> None:
    same = again(exc)
    assert type(same) is type(exc)
    assert (str(same), repr(same.args)) == (str(exc), repr(exc.args))
    for name in ("errno", "strerror", "filename", "code", "reason", "smtp_code", "pos"):
        if hasattr(type(exc), name) or name in vars(exc):
            assert repr(getattr(same, name)) == repr(getattr(exc, name))


def test_g9_a_failure_in_a_failure_is_whole() -> None:
    try:
        raise KeyError("k") from ValueError("deep")
    except KeyError as error:
        held = error
    same = again(GaveUp("x", held)).args[1]
    assert (type(same), str(same)) == (KeyError, "'k'")
    assert repr(same.__cause__) == "ValueError('deep')"
    assert "test_g9_a_failure_in_a_failure" in getattr(same, TRACEBACK_ATTRIBUTE)


def test_g9_what_holds_a_failure_that_cannot_be_rebuilt_is_named() -> None:
    same = again(GaveUp("x", asyncio.CancelledError()))
    assert type(same) is DurableCallError
    assert same.message == "('x', CancelledError())"


def test_failures_that_hold_each_other_are_bounded() -> None:
    alone = ValueError("x")
    alone.me, alone.code = alone, 5  # type: ignore[attr-defined]
    same = again(alone)
    assert (type(same), same.code, hasattr(same, "me")) == (ValueError, 5, False)
    cycle = GaveUp("a")
    cycle.args = (cycle,)
    assert type(again(cycle)) is DurableCallError
    wide: Exception = ValueError("leaf")
    for _ in range(4):
        wide = GaveUp(*[wide] * 20)
    assert len(encode_failure(CODEC, wide)) < 1_000_000


def test_g21_a_class_in_a_record_is_an_exception_of_a_loaded_module() -> None:
    tree = CODEC.decode(encode_failure(CODEC, GaveUp("x")))
    for name in ("subprocess:Popen", "no_such_module:Error", "builtins:list", 3):
        data = CODEC.encode({**tree, "args": {"tuple": [{"class": name}]}})
        assert type(decode_failure(CODEC, data)) is DurableCallError
    for form in ({}, {"set": []}, {"failure": b"x"}, {"tuple": [], "list": []}, 3):
        data = CODEC.encode({**tree, "args": form})
        assert type(decode_failure(CODEC, data)) is DurableCallError
        with pytest.raises(DecodeError):
            decode_failure(CODEC, CODEC.encode(form))


def test_g21_a_class_of_a_module_loaded_later_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec()
    codec.errors.fix()
    module = types.ModuleType("perdure_test_late_part")
    late = type("Late", (Exception,), {"__module__": module.__name__})
    module.Late = late  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert type(again(GaveUp(late), codec)) is DurableCallError
    assert type(again(GaveUp(late))) is GaveUp


def nested(levels: int, leaf: Exception) -> Exception:
    for number in range(levels):
        leaf = ExceptionGroup(f"g{number}", [leaf])
    return leaf


@pytest.mark.parametrize("levels", [1, 4, 5, 6, 12, 29])
def test_g9_members_of_groups_in_groups_keep_their_types(levels: int) -> None:
    group, rest = again(nested(levels, GaveUp("x", OSError(5, "io")))).split(GaveUp)
    assert rest is None
    for _ in range(levels):
        (group,) = group.exceptions
    assert repr(group.args) == "('x', OSError(5, 'io'))"


def test_groups_are_bounded() -> None:
    deep = again(nested(60, ValueError("leaf")))
    for _ in range(30):
        (deep,) = deep.exceptions
    assert type(deep) is DurableCallError
    shared: Exception = ValueError("leaf")
    for _ in range(40):
        shared = ExceptionGroup("g", [shared, shared])
    assert len(encode_failure(CODEC, shared)) < 2_000_000


def test_g9_private_slots_come_back() -> None:
    assert again(Private(7)).code == 7
    both = again(_Inner())
    assert (both.codes, both.plain) == ((1, 2), 3)


def test_g9_what_was_set_by_hand_comes_back() -> None:
    assert again(Numbered(errno.EIO, "io")).errno == errno.EIO
    named = OSError(2, "gone")
    named.filename = "/a"
    same = again(named)
    assert (same.filename, str(same)) == ("/a", str(named))


def test_g9_a_failure_without_notes_keeps_its_message() -> None:
    same = again(NotesError("said"))
    assert (type(same), str(same)) == (NotesError, "said")
    told = failure_summary(CODEC, encode_failure(CODEC, NotesError("said")))
    assert (told["message"], told["notes"]) == ("said", [])


def test_g9_a_failure_without_text_keeps_its_traceback() -> None:
    same = again(Silent())
    assert type(same) is Silent
    assert "in again" in getattr(same, TRACEBACK_ATTRIBUTE)
