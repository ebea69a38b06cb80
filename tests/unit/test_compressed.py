"""Payloads compressed and decompressed: what comes back, what stays plain, and what is refused."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.codec.codec import Codec
from perdure.codec.compressed import COMPRESSED, LARGE, LARGEST, compressed, decompressed
from perdure.errors import DecodeError, EncodeError

CODEC = Codec()
TEXT = " ".join(f"line {n} of a text that repeats itself" for n in range(2000))


def frame(size: int, stream: bytes) -> bytes:
    return COMPRESSED + size.to_bytes(4, "big") + stream


@given(st.binary(max_size=200), st.integers(1, 2000), st.binary(max_size=2000))
def test_what_is_packed_comes_back(pattern: bytes, times: int, rest: bytes) -> None:
    payload = b"\x01" + pattern * times + rest
    if len(payload) > LARGE:
        stored = compressed(payload)
        assert len(stored) <= len(payload)
        assert (decompressed(stored) if stored.startswith(COMPRESSED) else stored) == payload


@pytest.mark.parametrize("size", [LARGE + 1, 64 * 1024, 64 * 1024 + 1, 1_000_000, LARGEST])
def test_a_text_takes_a_fraction_of_its_bytes(size: int) -> None:
    payload = (CODEC.encode(TEXT) * (size // len(TEXT) + 1))[:size]
    stored = compressed(payload)
    assert len(stored) < size / 2
    assert decompressed(stored) == payload


@pytest.mark.parametrize("size", [LARGE + 1, 20_000, 64 * 1024 + 1, 1_000_000])
def test_what_gains_nothing_stays_as_it_is(size: int) -> None:
    payload = b"\x01" + random.Random(7).randbytes(size - 1)
    assert compressed(payload) is payload


def test_what_is_larger_than_may_be_unpacked_stays_as_it_is() -> None:
    payload = b"\x01" + b"x" * LARGEST
    assert compressed(payload) is payload


def test_values_are_read_packed_and_plain() -> None:
    value = {"text": TEXT, "n": 1}
    data = CODEC.encode(value)
    assert compressed(data) != data
    assert CODEC.decode(compressed(data)) == CODEC.decode(data) == value
    assert CODEC.to_json(compressed(data)) == value


def test_the_bound_is_that_of_the_plain_form() -> None:
    codec = Codec(max_bytes=10_000)
    with pytest.raises(EncodeError, match="more than the 10000 allowed"):
        codec.encode("x" * 10_000)


DATA = CODEC.encode(TEXT)
STREAM = zlib.compress(DATA)
DAMAGED = {
    "no more than its beginning": COMPRESSED,
    "half of its size": COMPRESSED + b"\0\0",
    "no stream": frame(len(DATA), b""),
    "a stream of nothing": frame(len(DATA), zlib.compress(b"")),
    "a stream that ends early": frame(len(DATA), STREAM[:-1]),
    "half of a stream": frame(len(DATA), STREAM[: len(STREAM) // 2]),
    "a stream and more": frame(len(DATA), STREAM + b"x"),
    "two streams": frame(len(DATA), STREAM + STREAM),
    "no zlib": frame(len(DATA), b"x" + STREAM),
    "another checksum": frame(len(DATA), STREAM[:-1] + bytes([STREAM[-1] ^ 1])),
    "a size that is too small": frame(len(DATA) - 1, STREAM),
    "a size that is too large": frame(len(DATA) + 1, STREAM),
    "a size that is never compressed": frame(LARGE, zlib.compress(DATA[:LARGE])),
    "a size of nothing": frame(0, zlib.compress(b"")),
    "a size beyond the bound": frame(LARGEST + 1, zlib.compress(b"x" * (LARGEST + 1))),
    "what compresses another way": b"\x02?" + (COMPRESSED + STREAM)[2:],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_g23_damage_is_refused(kind: str) -> None:
    with pytest.raises(DecodeError) as raised:
        CODEC.decode(DAMAGED[kind])
    assert raised.value.is_damage
    assert "\n" not in str(raised.value)


def test_g23_no_flipped_byte_changes_a_value() -> None:
    stored = compressed(DATA)
    chance = random.Random(3)
    for _ in range(300):
        place = chance.randrange(len(stored))
        changed = bytearray(stored)
        changed[place] ^= 1 << chance.randrange(8)
        with contextlib.suppress(DecodeError):
            assert CODEC.decode(bytes(changed)) == TEXT


def bomb(says: int) -> bytes:
    """A stream of 128 MiB in 128 KiB."""
    stream, block = zlib.compressobj(9), b"\0" * (1 << 20)
    parts = [stream.compress(block) for _ in range(128)]
    return frame(says, b"".join([*parts, stream.flush()]))


@pytest.mark.parametrize("says", [100_000, LARGEST, 128 << 20])
def test_g21_a_bomb_is_refused_at_the_bound(says: int) -> None:
    stored = bomb(says)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decompressed(stored)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * LARGEST
