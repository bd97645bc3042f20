"""That a process shall end: set by a signal, looked at and waited for by whoever has work to do."""

from __future__ import annotations

import signal
import threading
from queue import Empty, SimpleQueue
from typing import Self


class Stop(threading.Event):
    """An event that a signal's handler may set.

    A handler runs between any two instructions of the main thread. If these are in the middle of
    that thread's own `Event.wait`, the lock that `Event.set` needs is the one it holds: it would
    wait for itself for ever. `SimpleQueue.put` takes none. Never cleared.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        super().__init__()
        self._is_asked = False
        self._told = SimpleQueue[None]()

    @classmethod
    def on(cls, *signals: signal.Signals) -> Self:
        """One that each of these signals to this process sets; called by its main thread."""
        stop = cls()
        for number in signals:
            signal.signal(number, lambda *_: stop.set())
        return stop

    def is_set(self) -> bool:
        """Whether anybody has asked."""
        return self._is_asked

    def set(self) -> None:
        """Ask; what waits goes on."""
        self._is_asked = True
        self._told.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody has asked, for so many seconds at most; whether somebody has."""
        if not self._is_asked:
            try:
                self._told.get(timeout=None if timeout is None else max(timeout, 0.0))
            except Empty:
                return self._is_asked
            self._told.put(None)  # for the next who waits
        return True
