"""What a worker and a runner say to each other: frames of named arrays over a Unix socket.

    frame   = length of the rest (8 bytes, big-endian) + length of the header (4) + header + buffers
    header  = JSON: what is asked or answered, and for each array its name, type, shape

Numbers travel as the bytes they are; texts and mixed values stand in the header. Nothing is ever
unpickled, on either side. Knows no model and no request.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

_LENGTHS = struct.Struct(">QI")
_MOST_BYTES = 1 << 30
_BINARY = "biufM"
_DUMP = orjson.OPT_SERIALIZE_NUMPY
Message = Mapping[str, Any]
Arrays = Mapping[str, Any]


class FrameError(Exception):
    """What came is not a frame."""


def packed(message: Message, arrays: Arrays) -> bytes:
    """A message with its arrays; a list of mappings (records) travels as JSON."""
    heads, buffers = [], []
    for name, value in arrays.items():
        head, buffer = _head(name, value)
        heads.append(head)
        buffers.append(buffer)
    header = orjson.dumps({**message, "arrays": heads}, option=_DUMP)
    size = _LENGTHS.size - 8 + len(header) + sum(len(buffer) for buffer in buffers)
    return b"".join([_LENGTHS.pack(size, len(header)), header, *buffers])


def unpacked(header_size: int, frame: memoryview) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reverse of `packed`, behind the lengths; raises FrameError."""
    try:
        message = dict(orjson.loads(frame[:header_size]))
        buffers = frame[header_size:]
        arrays: dict[str, Any] = {}
        for head in message.pop("arrays"):
            arrays[head["name"]], taken = _value(head, buffers)
            buffers = buffers[taken:]
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError(f"not a frame: {error!r}") from error
    if len(buffers):
        raise FrameError(f"not a frame: {len(buffers)} bytes too many")
    return message, arrays


def receive(
    connection: socket.socket, *, deadline: float = math.inf
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The next frame, or None at the other side's end.

    `deadline` is of the monotonic clock: TimeoutError behind it. Raises FrameError, and OSError for
    a connection that breaks.
    """
    lengths = _exactly(connection, _LENGTHS.size, deadline)
    if lengths is None:
        return None
    size, header_size = _LENGTHS.unpack(lengths)
    body = size - (_LENGTHS.size - 8)
    if not 0 <= header_size <= body <= _MOST_BYTES:
        raise FrameError(f"not a frame: {size} bytes with a header of {header_size}")
    frame = _exactly(connection, body, deadline)
    if frame is None:
        raise FrameError("not a frame: it ends in the middle")
    return unpacked(header_size, memoryview(frame))


def send(connection: socket.socket, frame: bytes, *, deadline: float = math.inf) -> None:
    """Send what `packed` made, by `deadline`."""
    connection.settimeout(_left(deadline))
    connection.sendall(frame)


def _head(name: str, value: Any) -> tuple[dict[str, Any], bytes]:
    """One array's line in the header, and its bytes if they stand behind it."""
    if not isinstance(value, np.ndarray):
        return {"name": name, "type": "records", "values": value}, b""
    head = {"name": name, "shape": value.shape}
    if value.dtype.kind not in _BINARY:
        return {**head, "type": "object", "values": value.ravel().tolist()}, b""
    native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return {**head, "type": native.dtype.str}, native.tobytes()


def _value(head: Mapping[str, Any], buffers: memoryview) -> tuple[Any, int]:
    """One array, and how many bytes of `buffers` it took."""
    if head["type"] == "records":
        return [dict(row) for row in head["values"]], 0
    shape = _shape(head["shape"])
    if head["type"] == "object":
        return _texts(head["values"], shape), 0
    dtype = np.dtype(str(head["type"]))
    if dtype.kind not in _BINARY:
        raise ValueError(f"type {dtype}")
    count = math.prod(shape)
    array = np.frombuffer(buffers, dtype, count) if count else np.empty(0, dtype)
    return array.reshape(shape), array.nbytes


def _shape(given: Any) -> tuple[int, ...]:
    shape = tuple(int(size) for size in given)
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    return shape


def _texts(values: Sequence[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of Python values, each of which may be a list itself."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def _exactly(connection: socket.socket, size: int, deadline: float) -> bytearray | None:
    """`size` bytes, or None if the connection ended before the first."""
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        connection.settimeout(_left(deadline))
        received = connection.recv_into(view[got:])
        if not received:
            if got:
                raise FrameError("not a frame: it ends in the middle")
            return None
        got += received
    return buffer


def _left(deadline: float) -> float | None:
    """Seconds until `deadline`; raises TimeoutError behind it."""
    if deadline == math.inf:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time left")
    return left
