"""The gunicorn worker: one event loop, which accepts, looks after connections, stops cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import uvloop
from gunicorn.workers.base import Worker

from serving.lane.connection import Connection
from serving.lane.lane import Lane
from serving.routes.parts import EXTENSION

_LOOK_SECONDS: Final = 1.0
_STOP_LOOK_SECONDS: Final = 0.05
_MOST_OPEN: Final = 1000
# Whoever was told of this server a moment ago, and comes while it stops, is still answered.
_FAREWELL_SECONDS: Final = 2.0
_QUIET_SECONDS: Final = 0.25


class LaneWorker(Worker):  # type: ignore[misc]
    """See the module. Named in `infra/gunicorn.conf.py`."""

    def init_process(self) -> None:
        """Make the loop first: signals are heard there."""
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._told = asyncio.Event()
        self._is_graceful = True
        self._came = 0.0
        stops = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
        self._heard: dict[int, Callable[[], object]] = {
            **{number: partial(self._stop, number) for number in stops},
            signal.SIGUSR1: self.log.reopen_files,
            signal.SIGWINCH: lambda: None,
        }
        self._opening: set[asyncio.Task[object]] = set()
        super().init_process()

    def init_signals(self) -> None:
        """Hear the arbiter's signals from now on: uvloop hears none before it runs."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for number, hear in self._heard.items():
            signal.signal(number, lambda *_, hear=hear: hear())
        signal.signal(signal.SIGABRT, self.handle_abort)

    def run(self) -> None:
        """Serve until told to stop; what is under way is answered first."""
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        for number, hear in self._heard.items():  # between two events, never in the middle of one
            self._loop.add_signal_handler(number, hear)
        parts = self.wsgi.extensions[EXTENSION]
        lane = Lane(self.wsgi.wsgi_app, parts, most_open=_MOST_OPEN)
        for listener in self.sockets:
            listener.sock.setblocking(False)
            self._loop.add_reader(listener.sock, self._accept, listener.sock, lane)
        while self.alive and self.ppid == os.getppid():
            self.notify()
            lane.look(time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _LOOK_SECONDS)
        parts.stopping.set()
        await self._drained(lane)
        lane.close()

    async def _drained(self, lane: Lane) -> None:
        """Wait until every client has its answer."""
        begun = now = time.monotonic()
        accepting = True
        while self._is_graceful and now < begun + self.cfg.graceful_timeout:
            self.notify()
            lane.look(now)
            nobody = not (lane.connections or self._opening)
            if not accepting and nobody:
                break
            quiet = nobody and now > self._came + _QUIET_SECONDS
            if accepting and (quiet or now > begun + _FAREWELL_SECONDS):
                accepting = False
                self._accept_the_last(lane)
            await asyncio.sleep(_STOP_LOOK_SECONDS)
            now = time.monotonic()

    def _accept_the_last(self, lane: Lane) -> None:
        """Take in all who wait to be accepted; they would be reset."""
        for listener in self.sockets:
            self._loop.remove_reader(listener.sock)
            while self._accept(listener.sock, lane):
                pass
            listener.close()

    def _stop(self, number: signal.Signals) -> None:
        self._is_graceful = number == signal.SIGTERM
        self.alive = False
        self._told.set()

    def _accept(self, listener: socket.socket, lane: Lane) -> bool:
        """Take one client, and leave the next to whichever worker is there first."""
        try:
            client, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError:  # no descriptors are left: those who are here go first
            self.log.exception("cannot accept")
            self._loop.remove_reader(listener)
            self._loop.call_later(
                _LOOK_SECONDS, self._loop.add_reader, listener, self._accept, listener, lane
            )
            return False
        self._came = time.monotonic()
        client.setblocking(False)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: Connection(lane), client)
        )
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True
