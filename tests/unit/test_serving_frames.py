"""Frames: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from serving.frames import FrameError, packed, receive, send

ARRAYS: dict[str, Any] = {
    "doubles": np.array([[1.5, -0.0], [np.inf, 1e-308]]),
    "floats": np.float32([0.1, 0.2]),
    "big-endian": np.array([1, 2, 3], dtype=">i4"),
    "integers": np.int64([2**62, -1]),
    "booleans": np.array([True, False]),
    "dates": np.array(["2026-11-21T10:00"], dtype="datetime64[ns]"),
    "texts": np.array([["São Paulo", ""], [None, "x"]], dtype=object),
    "fixed texts": np.array(["a", "bc"]),
    "every second": np.arange(10)[::2],
    "no rows": np.empty((0, 4)),
    "a scalar": np.array(3.0),
    "lists": np.array([[1], [2, 3]], dtype=object),
}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_arrives_as_it_was(pair: Any, array: Any) -> None:
    send(pair[0], packed({"seconds": 1.5}, {"a": array, "b": np.int32([7])}))
    message, arrays = receive(pair[1])
    assert message == {"seconds": 1.5}
    assert list(arrays) == ["a", "b"]
    assert arrays["a"].shape == array.shape
    assert arrays["a"].tolist() == array.tolist()
    assert arrays["b"].tolist() == [7]


def test_records_arrive_as_they_were(pair: Any) -> None:
    rows = [{"y": 1.25, "label": "high"}, {"y": 2, "label": None}]
    send(pair[0], packed({}, {"predictions": rows}))
    assert receive(pair[1]) == ({}, {"predictions": rows})


def test_a_large_array_arrives_over_many_reads(pair: Any) -> None:
    array = np.random.default_rng(0).normal(size=(100_000, 8))
    frame = packed({}, {"a": array})
    sender = threading.Thread(target=send, args=[pair[0], frame])
    sender.start()
    assert np.array_equal(receive(pair[1])[1]["a"], array)
    sender.join()


def test_the_end_between_two_frames_is_an_end(pair: Any) -> None:
    send(pair[0], packed({}, {}))
    pair[0].close()
    assert receive(pair[1]) == ({}, {})
    assert receive(pair[1]) is None


GOOD = packed({"k": 1}, {"a": np.float64([1, 2])})
BAD: dict[str, bytes] = {
    "half a length": GOOD[:5],
    "half a frame": GOOD[:-3],
    "a text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a pickle": b"\x80\x04cposix\nsystem\n(S'true'\ntR." + bytes(40),
    "an array too long": GOOD.replace(b"[2]", b"[9]"),
    "an array too short": GOOD.replace(b"[2]", b"[1]"),
    "a negative shape": GOOD.replace(b"[2],", b"[-]"),
    "a type that holds objects": GOOD.replace(b'"<f8"', b'"|O8"'),
    "no arrays": GOOD.replace(b"arrays", b"arrayz"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_is_not_a_frame_is_refused(pair: Any, bad: bytes) -> None:
    assert bad != GOOD
    pair[0].sendall(bad)
    pair[0].close()
    with pytest.raises(FrameError):
        receive(pair[1])


def test_a_frame_that_does_not_come_is_waited_for_until_the_deadline(pair: Any) -> None:
    pair[0].sendall(GOOD[:-1])
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        receive(pair[1], deadline=begun + 0.1)
    assert 0.05 < time.monotonic() - begun < 2


def test_a_drip_of_bytes_does_not_move_the_deadline(pair: Any) -> None:
    stop = threading.Event()

    def drip() -> None:
        for byte in GOOD:
            if stop.wait(0.03):
                return
            pair[0].sendall(bytes([byte]))

    dripping = threading.Thread(target=drip)
    dripping.start()
    with pytest.raises(TimeoutError):
        receive(pair[1], deadline=time.monotonic() + 0.2)
    stop.set()
    dripping.join()
