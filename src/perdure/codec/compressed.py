"""Large payloads compressed: how a store keeps them. Its thread compresses and decompresses them.

So all others know a payload as it is: digests and bounds are those of the plain form. The first
byte says which form it is: what is encoded begins with another, and so do completions and signals.
The second says how; it is zlib on every Python, since a store goes from one to another.
"""

from __future__ import annotations

import zlib

from perdure.errors import DecodeError

__all__ = ["COMPRESSED", "LARGE", "LARGEST", "compressed", "decompressed"]

COMPRESSED = b"\x02z"  # how it begins
LARGE = 1024  # bytes above which a payload is compressed
LARGEST = 16 * 1024 * 1024  # bytes of the largest that is, and of what is made of any such bytes

_HEAD = len(COMPRESSED) + 4  # bytes: that, and the size of the plain form
_LEVEL = 1  # 20 kB of reviews to 8.3 kB in 0.2 ms; level 6 takes 0.7 ms for 0.9 kB less
_PROBE = 1024  # bytes of a payload of over eight times that are tried first: noise costs the most


def compressed(payload: bytes) -> bytes:
    """Return a payload of over `LARGE` bytes as a store keeps it; itself where that gains little.

    Args:
        payload: bytes that do not begin with `COMPRESSED`.
    """
    size = len(payload)
    if size > LARGEST:
        return payload
    if size > 8 * _PROBE and not _gains(len(zlib.compress(payload[:_PROBE], _LEVEL)), _PROBE):
        return payload
    found = COMPRESSED + size.to_bytes(4, "big") + zlib.compress(payload, _LEVEL)
    return found if _gains(len(found), size) else payload


def _gains(after: int, before: int) -> bool:
    return after < before - before // 8


def decompressed(payload: bytes) -> bytes:
    """Return the plain form of a compressed payload. Takes no more memory than `LARGEST`.

    Args:
        payload: bytes that begin with `COMPRESSED`.

    Raises:
        DecodeError: it is damaged.
    """
    size = int.from_bytes(payload[len(COMPRESSED) : _HEAD], "big")
    if not LARGE < size <= LARGEST:
        raise DecodeError.of_damage(
            f"a compressed payload says that it has {size} bytes: none has under {LARGE + 1} or"
            f" over {LARGEST}"
        )
    stream = zlib.decompressobj()
    try:
        # A byte more, so that one that has too many is seen, and the end of the stream as well.
        plain = stream.decompress(memoryview(payload)[_HEAD:], size + 1)
    except zlib.error as error:
        raise DecodeError.of_damage(f"a compressed payload cannot be read: {error}") from error
    if len(plain) != size or not stream.eof or stream.unused_data:
        made = "more" if len(plain) > size else len(plain)
        raise DecodeError.of_damage(
            f"a compressed payload is not whole: it says that it has {size} bytes, and holds {made}"
        )
    return plain
