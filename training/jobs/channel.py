"""What a job's process and its worker say to each other: a line of JSON each, over a socket.

The process tells what it does, and asks before it does what only one attempt may do. Neither
reaches the queue's database through it: that is the worker's.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Mapping
from typing import Any, Final, Self

_GO: Final = b"go\n"
_PART: Final = 65_536


class Channel:
    """The process's end."""

    def __init__(self, end: socket.socket) -> None:
        """An end of a pair of sockets."""
        self._socket = end

    @classmethod
    def of(cls, descriptor: int) -> Self:
        """The end that this process inherited."""
        return cls(socket.socket(fileno=descriptor))

    def tell(self, **said: Any) -> None:
        """Say something; numbers that are none become null."""
        line = json.dumps(finite(said), allow_nan=False, default=str)
        self._socket.sendall(line.encode() + b"\n")

    def ask(self) -> None:
        """Wait until the worker has made sure that this attempt still counts.

        If it does not, or the worker cannot find out, this never returns: the worker ends us.
        """
        self.tell(may_i=True)
        said = b""
        while not said.endswith(_GO):
            part = self._socket.recv(len(_GO))
            if not part:
                raise SystemExit(1)  # the worker is gone, and so are we in a moment
            said += part


class WorkerEnd:
    """The worker's end; nothing here waits."""

    def __init__(self, end: socket.socket) -> None:
        """The other end of the pair."""
        end.setblocking(False)
        self.is_over = False
        self._socket = end
        self._rest = b""

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def heard(self) -> list[Mapping[str, Any]]:
        """What was said since."""
        while True:
            try:
                part = self._socket.recv(_PART)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            if not part:
                self.is_over = True
                break
            self._rest += part
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def go(self) -> None:
        """Answer `ask`."""
        try:
            self._socket.send(_GO)
        except OSError:
            return  # it has ended: what becomes of it is seen elsewhere

    def close(self) -> None:
        """Hear nothing any more."""
        self._socket.close()


def finite(value: Any) -> Any:
    """`value` with None in place of what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value
