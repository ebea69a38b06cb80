"""JSON Lines: reading any well-formed file, writing every line exactly once."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patience import PATIENCE

from perdure.connectors import jsonl_lines, output_file
from perdure.connectors.base import SinkState, SourceItem
from perdure.connectors.json_text import to_json
from perdure.connectors.jsonl import JsonlSink, JsonlSource
from perdure.connectors.output_file import BehindPolicy
from perdure.errors import ConfigurationError, InputError, SinkError
from perdure.run import Output


def read(path: Path | str) -> list[SourceItem]:
    async def main() -> list[SourceItem]:
        return [item async for item in JsonlSource(path).open()]

    return asyncio.run(main())


def output(value: Any, n: int = 0) -> Output:
    return Output(value=value, key="k", run_id=f"r{n}", id=f"r{n}-0")


@pytest.mark.parametrize("end", [JsonlSource, JsonlSink])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a\0b", "null character"),
        (b"a", "no text"),
        (5, "no text"),
        (None, "no text"),
        ("", "empty"),
    ],
)
def test_what_is_no_path_is_refused(end: Any, path: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        end(path)


@pytest.mark.parametrize("behind", ["Keep", None, True])
def test_what_becomes_of_foreign_bytes_is_one_of_three(behind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"behind=.* is none of refuse, keep, move"):
        JsonlSink("out.jsonl", behind=behind)


# --- source ---


def test_positions_count_items_and_lines_count_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a": 1}\n\n  \r\n [2] \r\n"last"')
    assert read(path) == [
        SourceItem(0, {"a": 1}, b'{"a": 1}', 1),
        SourceItem(1, [2], b"[2]", 4),
        SourceItem(2, "last", b'"last"', 5),
    ]


def test_byte_order_mark_and_line_separators_inside_text(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    text = "a\u2028b\u0085c"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(text, ensure_ascii=False).encode() + b"\n")
    assert [(r.value, r.line) for r in read(path)] == [(text, 1)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b" \n\n"])
def test_file_without_items(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    assert read(path) == []


def test_values_are_the_same_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.jsonl"
    values = ["é" * n for n in range(12)]
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), "utf-8")
    for chunk_bytes in (1, 2, 3, 7, 1000):
        monkeypatch.setattr(jsonl_lines, "CHUNK_BYTES", chunk_bytes)
        assert [r.value for r in read(path)] == values


def test_numbers_are_read_as_python_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    line = "[0.1, -0.0, 1e5, 5e-324, 1e-400, 1.7976931348623157e308, 123456789012345678901, NaN]"
    path.write_text(f"{line}\n[Infinity, -Infinity]\n")
    first, second = (item.value for item in read(path))
    assert repr(first) == repr(json.loads(line))
    assert second == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{'a': 1}", "not JSON at column 2"),
        (b'"\xff"', "not UTF-8 at byte 2"),
        (b"[" * 200_000, "in.jsonl:3: not readable as JSON"),
        (b"1" * 5000, "in.jsonl:3: not readable as JSON"),
        (b'{"n": [0.5, -1e400]}', "in.jsonl:3: it has a number that is larger than any number may"),
    ],
)
def test_bad_line_is_named_after_the_items_before_it(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n\n" + line + b"\n2\n")

    async def main() -> list[Any]:
        seen: list[Any] = []
        with pytest.raises(InputError, match=reason) as caught:
            async for item in JsonlSource(path).open():
                seen.append(item.value)
        assert f"{path}:3: " in str(caught.value)
        assert "\n" not in str(caught.value)
        return seen

    assert asyncio.run(main()) == [1]


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_unreadable_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / name)


def test_name_is_the_file_name_so_that_folders_may_move() -> None:
    assert JsonlSource("/a/b/in.jsonl").name == "in.jsonl"
    assert JsonlSource("-").name == "stdin"
    assert JsonlSource("in.jsonl", name="feed").name == "feed"


_READ_STDIN = """
import asyncio
from perdure.connectors.jsonl import JsonlSource

async def main():
    stream = JsonlSource("-").open()
    async for item in stream:
        print(item.value, flush=True)
        if item.value == "stop":
            break
    await stream.aclose()

asyncio.run(main())
"""


def test_standard_input_gives_a_line_as_soon_as_it_is_there() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _READ_STDIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for value in ("first", "second", "stop"):
            process.stdin.write(json.dumps(value) + "\n")
            assert process.stdout.readline() == value + "\n"
        # Its input is still open: an exit proves that no thread waits for more of it.
        assert process.wait(timeout=PATIENCE) == 0


def test_abandoned_reading_leaves_no_descriptor_open(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n3\n")

    async def main() -> None:
        stream = JsonlSource(path).open()
        assert (await anext(stream)).value == 1
        await stream.aclose()
        for _ in range(500):
            if str(path) not in _open_files():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{path} is still open")

    asyncio.run(main())


def _open_files() -> set[str]:
    import psutil

    return {file.path for file in psutil.Process().open_files()}


# --- sink ---


async def write_once(
    path: Path,
    state: SinkState | None,
    values: list[Any],
    *,
    undelivered: Sequence[Any] = (),
    behind: BehindPolicy = "refuse",
) -> SinkState:
    sink = JsonlSink(path, behind=behind)
    sink.expect([output(v, n) for n, v in enumerate(undelivered)])
    opened = await sink.open(state)
    try:
        offset = await sink.write([output(v, n) for n, v in enumerate(values)])
    finally:
        await sink.close()
    assert offset is not None
    return SinkState(opened.base, offset)


def test_lines_are_appended_to_what_the_file_held(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'"mine"\n')
    state = asyncio.run(write_once(path, None, [{"a": "é"}, 2]))
    assert path.read_bytes() == '"mine"\n{"a": "é"}\n2\n'.encode()
    assert state == SinkState(7, path.stat().st_size)


def test_envelope(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def main() -> None:
        sink = JsonlSink(path, envelope=True)
        await sink.open(None)
        await sink.write([output({"a": 1}, 3)])
        await sink.close()

    asyncio.run(main())
    assert json.loads(path.read_text()) == {
        "key": "k",
        "run_id": "r3",
        "id": "r3-0",
        "value": {"a": 1},
    }


UNDELIVERED = ["a", {"b": 1}, "a"]


@pytest.mark.parametrize(
    "tail", [b'"a', b'"a"\n', b'"a"\n{"b"', b'"a"\n{"b": 1}\n"a"\n', b'"a"\n"a"\n{"b": 1}\n', b"{"]
)
def test_g4_g28_undelivered_outputs_are_cut_off_and_nothing_before_them(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"0\n")
    state = asyncio.run(write_once(path, None, [1]))
    with path.open("ab") as file:
        file.write(tail)
    again = asyncio.run(write_once(path, state, ["new"], undelivered=UNDELIVERED))
    assert again == SinkState(2, 10)
    assert path.read_bytes() == b'0\n1\n"new"\n'


FOREIGN = [
    b'"x"\n',  # a line of somebody else
    b'"a"\n"x"\n',  # behind one of ours
    b'"a"\n"a"\n"a"\n',  # once more than there are
    b'"a"\n\n',
    b'"a"\n"x',
    b"\n",
    b" ",
    b'"a"\r\n',
    b'"a"\n{"b": 1}\n"a"\n"a"\n',  # ours, and more: the store may be behind
    b"\x00" * 100_000,
]


@pytest.mark.parametrize("tail", FOREIGN)
def test_g28_what_is_not_its_own_is_refused_by_name_and_untouched(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, [1]))
    with path.open("ab") as file:
        file.write(tail)
    refused = r"out\.jsonl has .* behind byte 2.*store is behind"
    with pytest.raises(SinkError, match=refused) as caught:
        asyncio.run(write_once(path, state, ["new"], undelivered=UNDELIVERED))
    assert "--output-behind keep" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"1\n" + tail
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_g28_only_the_recorded_form_is_its_own(tmp_path: Path) -> None:
    """A line without envelope is not the line of a sink with one, and the other way round."""
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, [1]))
    with path.open("ab") as file:
        file.write(b'{"key": "k", "run_id": "r0", "id": "r0-0", "value": "a"}\n')
    before = path.read_bytes()
    with pytest.raises(SinkError, match="behind byte 2"):
        asyncio.run(write_once(path, state, [], undelivered=["a"]))
    assert path.read_bytes() == before

    async def with_envelope() -> None:
        sink = JsonlSink(path, envelope=True)
        sink.expect([output("a")])
        await sink.open(state)
        await sink.close()

    asyncio.run(with_envelope())
    assert path.read_bytes() == b"1\n"


def test_g28_what_is_behind_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, [1]))
    with path.open("ab") as file:
        file.write(b"x\n")
    kept = asyncio.run(write_once(path, state, [2], undelivered=[2], behind="keep"))
    assert path.read_bytes() == b"1\nx\n2\n"
    assert kept == SinkState(0, 6)
    asyncio.run(write_once(path, kept, [3]))  # and is its own from then on
    assert path.read_bytes() == b"1\nx\n2\n3\n"


def test_g28_half_a_line_is_not_kept_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, [1]))
    with path.open("ab") as file:
        file.write(b"x\nhalf")
    with pytest.raises(SinkError, match=r"middle of a line.*behind move"):
        asyncio.run(write_once(path, state, [2], behind="keep"))
    assert path.read_bytes() == b"1\nx\nhalf"


def test_g28_what_is_behind_can_be_moved_and_moves_over_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, [1]))
    (tmp_path / "out.jsonl.orphaned-1").write_bytes(b"from before")
    with path.open("ab") as file:
        file.write(b"x\nhalf")
    asyncio.run(write_once(path, state, [2], behind="move"))
    assert path.read_bytes() == b"1\n2\n"
    assert (tmp_path / "out.jsonl.orphaned-1").read_bytes() == b"from before"
    assert (tmp_path / "out.jsonl.orphaned-2").read_bytes() == b"x\nhalf"


def test_an_undelivered_value_without_a_json_form_was_never_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, [1]))
    with path.open("ab") as file:
        file.write(b'"a"\n')
    asyncio.run(write_once(path, state, [], undelivered=[object(), "a"]))
    assert path.read_bytes() == b"1\n"


@pytest.mark.parametrize("change", ["shorten", "remove", "replace"])
def test_file_that_is_not_as_recorded_is_refused_untouched(tmp_path: Path, change: str) -> None:
    path = tmp_path / "out.jsonl"
    state = asyncio.run(write_once(path, None, ["one", "two"]))
    if change == "shorten":
        path.write_bytes(b'"one"\n')
    elif change == "replace":
        path.write_bytes(b'"something else, without a line end there"\n')
    else:
        path.unlink()
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(SinkError, match="put back the file"):
        asyncio.run(write_once(path, state, ["three"]))
    assert (path.read_bytes() if path.exists() else None) == before


def test_missing_file_that_held_nothing_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    asyncio.run(write_once(path, SinkState(0, 0), [1]))
    assert path.read_bytes() == b"1\n"


def test_partial_last_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"1\n2")
    with pytest.raises(SinkError, match="middle of a line"):
        asyncio.run(write_once(path, None, [3]))
    assert path.read_bytes() == b"1\n2"


def test_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def main() -> None:
        first, second = JsonlSink(path), JsonlSink(path)
        await first.open(None)
        with pytest.raises(SinkError, match="being written by another job or process"):
            await second.open(None)
        await first.close()
        await second.open(None)
        await second.close()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_g28_a_forked_child_does_not_keep_the_file(tmp_path: Path) -> None:
    """A worker of a process pool may outlive the process that was killed."""
    path = tmp_path / "out.jsonl"
    script = (
        "import asyncio, os, sys, time\n"
        "from perdure import JsonlSink\n"
        "sink = JsonlSink(sys.argv[1])\n"
        "asyncio.run(sink.open(None))\n"
        "is_up, says = os.pipe()\n"
        "if not (child := os.fork()):\n"
        "    os.write(says, b'.')\n"
        "    time.sleep(600)\n"
        "os.read(is_up, 1)\n"
        "print(child, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.wait()
            asyncio.run(write_once(path, None, [1]))
        finally:
            os.kill(child, signal.SIGKILL)
    assert path.read_bytes() == b"1\n"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write"):
        asyncio.run(write_once(tmp_path, None, [1]))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*out\.jsonl: .*check the folder"):
        asyncio.run(write_once(tmp_path / "no" / "out.jsonl", None, [1]))


def _move(path: Path) -> None:
    path.rename(path.with_name("moved.jsonl"))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"another\n")
    other.replace(path)


@pytest.mark.parametrize("change", [os.unlink, _move, _replace])
def test_file_that_is_removed_or_moved_is_noticed_before_the_next_line(
    tmp_path: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        sink = JsonlSink(path.name)
        await sink.open(None)
        monkeypatch.chdir("/")
        await sink.write([output(1)])
        change(path)
        for _ in range(2):
            with pytest.raises(SinkError, match=r"out\.jsonl was removed, moved or replaced"):
                await sink.write([output(2)])
        await sink.close()

    asyncio.run(main())
    assert not path.exists() or path.read_bytes() == b"another\n"


def test_line_of_another_program_is_noticed_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def main() -> None:
        sink = JsonlSink(path)
        await sink.open(None)
        await sink.write([output(1)])
        with path.open("ab") as file:
            file.write(b"intruder\n")
        with pytest.raises(SinkError, match="another program"):
            await sink.write([output(2)])
        await sink.close()

    asyncio.run(main())
    assert path.read_bytes() == b"1\nintruder\n"


def test_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    real_write_at = output_file._write_at

    def half_then_full(file: int, data: Any, offset: int) -> int:
        if len(data) <= 2:
            raise OSError(28, "No space left on device")
        return real_write_at(file, data[: len(data) // 2], offset)

    async def main() -> None:
        sink = JsonlSink(path)
        await sink.open(None)
        await sink.write([output(1)])
        with monkeypatch.context() as patch:
            patch.setattr(output_file, "_write_at", half_then_full)
            with pytest.raises(SinkError, match="No space left"):
                await sink.write([output("long enough to be cut")])
        assert path.read_bytes() == b"1\n"
        assert await sink.write([output(2)]) == 4
        await sink.close()

    asyncio.run(main())
    assert path.read_bytes() == b"1\n2\n"


def test_value_without_a_json_form_names_the_output_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(SinkError, match=r"output r1-0 of key 'k'.*object has no JSON form"):
        asyncio.run(write_once(path, None, [1, object()]))
    assert path.read_bytes() == b""


def test_closed_or_unopened_sink_refuses_to_write(tmp_path: Path) -> None:
    async def main() -> None:
        sink = JsonlSink(tmp_path / "out.jsonl")
        with pytest.raises(SinkError, match="not open"):
            await sink.write([output(1)])
        await sink.close()

    asyncio.run(main())


class _Killed(BaseException):
    """Stands for SIGKILL: nothing in the process runs after it."""


# A step is a batch of 0 to 3 outputs and where the process dies: after so many bytes of the
# write, after the write but before it is recorded, or not at all.
_steps = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(st.none(), st.just("before the record"), st.integers(0, 40)),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(before=st.sampled_from([b"", b'"held before"\n']), steps=_steps)
def test_g4_every_line_is_there_once_wherever_the_process_dies(
    before: bytes, steps: list[tuple[int, int | str | None]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.jsonl"
        path.write_bytes(before)
        delivered = asyncio.run(_deliver_with_crashes(path, steps))
        expected = before + b"".join(b'"value %d"\n' % n for n in range(delivered))
        assert path.read_bytes() == expected


async def _deliver_with_crashes(path: Path, steps: list[tuple[int, int | str | None]]) -> int:
    """Play an engine that records state and deliveries together; a last leg finishes the job."""
    state: SinkState | None = None
    delivered = 0
    sink = JsonlSink(path)
    opened = False
    for count, crash in [*steps, (1, None)]:
        if not opened:
            sink, opened = JsonlSink(path), True
            sink.expect([output(f"value {delivered + n}") for n in range(6)])
            state = await sink.open(state)
        batch = [output(f"value {delivered + n}") for n in range(count)]
        offset = await _write_dying_after(sink, batch, crash)
        if offset is None or crash == "before the record":
            await sink.close()  # What the kernel does for a dead process.
            opened = False
            continue
        assert state is not None
        state = SinkState(state.base, offset)
        delivered += count
    await sink.close()
    return delivered


async def _write_dying_after(
    sink: JsonlSink, batch: list[Output], crash: int | str | None
) -> int | None:
    if not isinstance(crash, int):
        return await sink.write(batch)
    real_write_at = output_file._write_at

    def cut_off(file: int, data: Any, offset: int) -> int:
        if len(data) > crash:
            real_write_at(file, data[:crash], offset)
            raise _Killed
        return real_write_at(file, data, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_file, "_write_at", cut_off)
        try:
            return await sink.write(batch)
        except _Killed:
            return None


# --- values as JSON ---


class _Colour(enum.Enum):
    RED = "red"


class _Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class _Point:
    x: float
    when: datetime.date


class _Struct(msgspec.Struct):
    tags: set[str]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True, 1.5, "é"]}, '{"a": [1, null, true, 1.5, "é"]}'),
        ([float("nan"), float("inf")], "[null, null]"),
        ((1, 2), "[1, 2]"),
        ({"b", "a"}, '["a", "b"]'),
        (frozenset({2, "a"}), '["a", 2]'),
        (_Colour.RED, '"red"'),
        (_Level.HIGH, "3"),
        (_Point(float("nan"), datetime.date(2025, 1, 2)), '{"x": null, "when": "2025-01-02"}'),
        (_Struct({"t"}), '{"tags": ["t"]}'),
        (datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC), '"2025-01-02T00:00:00+00:00"'),
        (datetime.timedelta(seconds=90), "90.0"),
        (b"\x00\xff", '"AP8="'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        ({1: "a", (2, 3): "b", _Colour.RED: "c"}, '{"1": "a", "[2, 3]": "b", "red": "c"}'),
        (2**80, str(2**80)),
    ],
)
def test_documented_conversions(value: Any, text: str) -> None:
    assert to_json(value) == text.encode()


def test_lone_surrogate_is_escaped() -> None:
    assert to_json({"é": "\ud800"}) == rb'{"\u00e9": "\ud800"}'


def test_pydantic_model() -> None:
    import pydantic

    class Model(pydantic.BaseModel):
        when: datetime.date

    assert to_json(Model(when=datetime.date(2025, 1, 2))) == b'{"when": "2025-01-02"}'


def test_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="nested too deeply"):
        to_json(value)
