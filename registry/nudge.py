"""A knock on a local socket: "look now instead of at the next poll".

Carries no content and may be lost: whoever is knocked on looks at the ledger. Sent by commands and
the registrar after an append; heard by the watcher and the registrar.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

_LONGEST_PATH = 100  # the kernel's limit for a socket's address is 108 bytes


def knock(path: Path) -> None:
    """Knock once; nobody listening is fine."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.setblocking(False)
        with reachable(path) as address:
            sender.sendto(b"!", address)


class Bell:
    """The listening side; `wait` returns at a knock or after a while."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`, in place of whoever listened there before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with reachable(path) as address:
            self._socket.bind(address)
        self._socket.setblocking(False)

    def wait(self, seconds: float) -> bool:
        """Sleep at most `seconds`; True if somebody knocked. Several knocks count as one."""
        ready, _, _ = select.select([self._socket], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while ready:
                self._socket.recv(16)
        return bool(ready)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A socket's `path`, or a shorter way there where the kernel's limit asks for one."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
