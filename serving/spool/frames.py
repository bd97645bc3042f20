"""Frames: length of the payload (4 bytes, big-endian), its CRC32 (4 bytes), the payload.

A payload is a JSON object, so it begins with `{"`: that is how the next frame is found behind one
that is damaged. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

_HEAD: Final = struct.Struct(">II")
MOST_BYTES: Final = 8 * 1024 * 1024  # of a payload: a longer one is no length but damage
_BEGINS: Final = b'{"'


class Frame(NamedTuple):
    """A payload that lies before `end`; None for bytes in which there is none to be read."""

    payload: bytes | None
    begin: int
    end: int


def framed(payload: bytes) -> bytes:
    """A payload as it is appended."""
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def frames(data: bytes, *, is_whole: bool) -> Iterator[Frame]:
    """The frames of `data`, and what is damaged between them.

    Ends before a frame that is not there in full; `is_whole` says that no more bytes will come.
    """
    at = 0
    while at < len(data):
        end = _end(data, at)
        if end and _is_sound(data, at, end):
            yield Frame(data[at + _HEAD.size : end], at, end)
            at = end
            continue
        found = _next(data, at + 1)
        if found is None and (not is_whole or end is None):
            return  # it is being written, or was when its writer ended
        at, damaged = found or len(data), at
        yield Frame(None, damaged, at)


def _end(data: bytes, at: int) -> int | None:
    """Where the frame at `at` ends; None if that lies behind the data, 0 for no length at all."""
    if at + _HEAD.size > len(data):
        return None
    length = int.from_bytes(data[at : at + 4], "big")
    if not 0 < length <= MOST_BYTES:
        return 0
    end = at + _HEAD.size + length
    return end if end <= len(data) else None


def _is_sound(data: bytes, at: int, end: int) -> bool:
    checksum = int.from_bytes(data[at + 4 : at + 8], "big")
    return crc32(memoryview(data)[at + _HEAD.size : end]) == checksum


def _next(data: bytes, since: int) -> int | None:
    """Where the first sound frame begins from `since` on."""
    place = data.find(_BEGINS, since + _HEAD.size)
    while place >= 0:
        at = place - _HEAD.size
        if (end := _end(data, at)) and _is_sound(data, at, end):
            return at
        place = data.find(_BEGINS, place + 1)
    return None
