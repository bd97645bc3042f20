"""A cable to a server, that can be cut and mended: between, nobody answers at its address."""

from __future__ import annotations

import contextlib
import socket
import threading

_BYTES = 65536


class Cable:
    """Hands on what comes to `address` (host, port) to a server on this machine."""

    def __init__(self, server: tuple[str, int]) -> None:
        """Mended."""
        self._server = server
        self._ends: list[socket.socket] = []
        self._listener = self._listen(0)
        self.address: tuple[str, int] = self._listener.getsockname()

    def cut(self) -> None:
        """Refuse who comes, and break off what is going on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def mend(self) -> None:
        """As before, at the same address."""
        self._listener = self._listen(self.address[1])

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                theirs, _ = listener.accept()
                ours = socket.create_connection(self._server)
            except OSError:
                return
            self._ends += [theirs, ours]
            for one, other in ((theirs, ours), (ours, theirs)):
                threading.Thread(target=_hand_on, args=[one, other], daemon=True).start()


def _hand_on(one: socket.socket, other: socket.socket) -> None:
    """Until one of them is closed."""
    with contextlib.suppress(OSError):
        while data := one.recv(_BYTES):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
