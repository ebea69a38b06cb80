"""G9: a failure is an outcome that comes back as its own type, live as on replay."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from perdure.codec.codec import Codec
from perdure.codec.failure import (
    TRACEBACK_ATTRIBUTE,
    decode_failure,
    encode_failure,
    failure_summary,
)
from perdure.errors import DecodeError, DurableCallError

CODEC = Codec()


class KeywordError(Exception):
    """Its constructor takes other arguments than it keeps, and counts its calls."""

    made = 0

    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code
        self.connection = object()
        type(self).made += 1


class FileError(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "gone", path)


class SlottedError(Exception):
    __slots__ = ("code",)
    code: int


class ConnectionTextError(Exception):
    """Its text needs what cannot be journaled."""

    def __init__(self) -> None:
        self.connection = object()

    def __str__(self) -> str:
        return f"on {self.connection!r}"


class BadTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Unusual(BaseException):
    pass


def raised(exc: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise exc from cause
    except BaseException as error:
        return error


def round_trip(exc: BaseException, codec: Codec = CODEC) -> BaseException:
    return decode_failure(codec, encode_failure(codec, raised(exc, exc.__cause__)))


@pytest.mark.parametrize(
    "exc",
    [
        ValueError(3),
        ValueError(),
        KeyError("a", (1, {2})),
        OSError(2, "m", "f"),
        OSError("no errno"),
        UnicodeDecodeError("utf-8", b"a", 0, 1, "reason"),
        ImportError("x", name="n", path="p"),
        SyntaxError("bad", ("f", 1, 2, "text")),
        json.JSONDecodeError("m", "doc", 1),
        TimeoutError(),
        asyncio.QueueFull("full"),
        subprocess.CalledProcessError(3, ["a"], b"out"),
        DurableCallError("a.B", "message", "trace"),
        FileError("/gone"),
    ],
    ids=repr,
)
def test_g9_a_failure_comes_back_as_its_own_type(exc: BaseException) -> None:
    again = round_trip(exc)
    assert type(again) is type(exc)
    assert again is not exc
    assert (str(again), again.args) == (str(exc), exc.args)
    for name in ("errno", "filename", "name", "path", "returncode", "cmd", "pos", "type_name"):
        assert getattr(again, name, None) == getattr(exc, name, None)


def test_g9_it_is_rebuilt_without_its_own_constructor() -> None:
    exc = KeywordError(7, where="here")
    made = KeywordError.made
    again = round_trip(exc)
    assert isinstance(again, KeywordError)
    assert (str(again), again.code, KeywordError.made) == ("7 at here", 7, made)
    assert not hasattr(again, "connection")
    slotted = SlottedError("x")
    slotted.code = 4
    assert getattr(round_trip(slotted), "code", None) == 4


def local_failure() -> Exception:
    class LocalError(Exception):
        pass

    return LocalError("m")


@pytest.mark.parametrize(
    ("exc", "name"),
    [
        (StopIteration(1), "StopIteration"),
        (StopAsyncIteration(), "StopAsyncIteration"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError("by whom"), "asyncio.exceptions.CancelledError"),
        (ValueError(object()), "ValueError"),
        (local_failure(), f"{__name__}.local_failure.<locals>.LocalError"),
        (ConnectionTextError(), f"{__name__}.ConnectionTextError"),
        (Unusual("u"), f"{__name__}.Unusual"),
        (
            type("Nowhere", (Exception,), {"__module__": "not_a_module"})("n"),
            "not_a_module.Nowhere",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_g9_what_cannot_be_rebuilt_is_named(exc: BaseException, name: str) -> None:
    again = round_trip(exc)
    assert type(again) is DurableCallError
    assert (again.type_name, again.message) == (name, str(exc))
    assert name.rpartition(".")[2] in again.traceback_text


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(1), GeneratorExit("x")])
def test_g9_what_would_end_more_than_a_call_is_told_as_its_failure(exc: BaseException) -> None:
    again = round_trip(exc)
    assert type(again) is DurableCallError
    assert again.type_name == type(exc).__name__
    group = round_trip(BaseExceptionGroup("g", [ValueError(), exc]))
    assert type(group) is ExceptionGroup
    assert [type(member) for member in group.exceptions] == [ValueError, DurableCallError]


def test_g9_notes_cause_and_traceback_come_back() -> None:
    cause = raised(KeyError("k"), raised(OSError(1, "deep")))
    exc = ValueError("v")
    exc.add_note("first")
    again = decode_failure(CODEC, encode_failure(CODEC, raised(exc, cause)))
    assert again.__notes__ == ["first"]
    assert repr(again.__cause__) == "KeyError('k')"
    assert again.__cause__ is not None
    assert isinstance(again.__cause__.__cause__, OSError)
    assert again.__suppress_context__
    text = getattr(again, TRACEBACK_ATTRIBUTE)
    assert "in raised" in text
    assert text.endswith("ValueError: v\nfirst\n")


def test_g9_a_failure_raised_again_keeps_its_first_traceback() -> None:
    first = round_trip(ValueError("v"))
    second = decode_failure(CODEC, encode_failure(CODEC, raised(first)))
    text = getattr(second, TRACEBACK_ATTRIBUTE)
    assert text.startswith(getattr(first, TRACEBACK_ATTRIBUTE))
    assert "raised again here" in text


def test_g9_groups_come_back_with_their_members() -> None:
    exc = BaseExceptionGroup(
        "g", [ValueError(1), asyncio.CancelledError(), KeywordError(1, where="x")]
    )
    again = round_trip(exc)
    assert type(again) is ExceptionGroup
    kinds = [type(member) for member in again.exceptions]
    assert kinds == [ValueError, DurableCallError, KeywordError]
    assert type(round_trip(ExceptionGroup("g", [ExceptionGroup("h", [OSError(1, "a")])]))) is (
        ExceptionGroup
    )


def test_the_summary_of_a_group_tells_its_first_failure() -> None:
    group = ExceptionGroup(
        "in a TaskGroup", [ExceptionGroup("h", [OSError("refused"), ValueError()])]
    )
    told = failure_summary(CODEC, encode_failure(CODEC, group))["message"]
    assert told == (
        "in a TaskGroup (1 sub-exception): ExceptionGroup: h (2 sub-exceptions): OSError: refused"
    )


def test_long_chains_texts_and_values_are_bounded() -> None:
    exc: BaseException = ValueError("x" * 100_000)
    for _ in range(50):
        exc = raised(ValueError("y"), exc)
    assert len(encode_failure(CODEC, exc)) < 10_000
    small = Codec(max_bytes=30_000)
    big = round_trip(ValueError("z" * 100_000), small)
    assert type(big) is DurableCallError
    assert big.message == "z" * 8192
    cycle = ValueError("c")
    cycle.__cause__ = cycle
    assert type(decode_failure(CODEC, encode_failure(CODEC, cycle))) is ValueError


def test_a_failure_without_text_is_still_told() -> None:
    again = round_trip(BadTextError())
    assert type(again) is BadTextError
    assert (
        "BadTextError" in failure_summary(CODEC, encode_failure(CODEC, BadTextError()))["message"]
    )


def test_a_summary_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_failure(CODEC, raised(KeywordError(1, where="x")))
    monkeypatch.setattr("importlib.import_module", None)
    summary = failure_summary(Codec(), data)
    assert summary["type"] == f"{__name__}.KeywordError"
    assert (summary["message"], summary["notes"]) == ("1 at x", [])
    assert "in raised" in summary["traceback"]


def test_g21_only_exceptions_are_built() -> None:
    good = CODEC.decode(encode_failure(CODEC, ValueError("x")))
    names = [
        "builtins:list", "os:system", "builtins:KeyboardInterrupt", "builtins:StopIteration",
        "no_such_module:Error", "builtins:nothing", "subprocess:Popen", "",
    ]  # fmt: skip
    for name in names:
        again = decode_failure(CODEC, CODEC.encode({**good, "type": name}))
        assert type(again) is DurableCallError, name
    for foreign in (3, {"type": "builtins:ValueError"}, ["a"]):
        with pytest.raises(DecodeError, match="no failure"):
            decode_failure(CODEC, CODEC.encode(foreign))


def test_a_type_that_is_gone_on_replay_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("perdure_test_gone")
    error = type("GoneError", (Exception,), {"__module__": module.__name__})
    module.GoneError = error  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    data = encode_failure(CODEC, error("m"))
    assert type(decode_failure(CODEC, data)) is error
    monkeypatch.delitem(sys.modules, module.__name__)
    assert str(decode_failure(CODEC, data)) == "perdure_test_gone.GoneError: m"


def test_g9_a_script_rebuilds_its_own_types_without_running_twice(tmp_path: Path) -> None:
    script = tmp_path / "agent_failing.py"
    script.write_text(
        "print('ran')\n"
        "import sys\n"
        "from perdure.codec.codec import Codec\n"
        "from perdure.codec.failure import decode_failure, encode_failure\n"
        "class Mine(Exception): pass\n"
        "codec = Codec()\n"
        "if len(sys.argv) == 1:\n"
        "    print(encode_failure(codec, Mine(1)).hex())\n"
        "else:\n"
        "    print(type(decode_failure(codec, bytes.fromhex(sys.argv[1]))) is Mine)\n"
    )

    def run(*command: Any) -> list[str]:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    ran, data = run(script)
    assert ran == "ran"
    assert run(script, data) == ["ran", "True"]
    assert run("-m", "agent_failing", data) == ["ran", "True"]
    assert run("-c", "import agent_failing", data) == ["ran", "True"]
