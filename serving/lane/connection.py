"""One client's connection: its bytes become requests, answers become bytes again.

One request at a time, in the order they came. What waits is bounded: a body by the largest one that
is allowed, everything else by a few kilobytes, both by time. Nothing here knows what a path means.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol, cast

from registry.errors import BatonError, Overloaded
from serving.answer import Answer
from serving.lane.incoming import Incoming, NoRequest, broken_off, late
from serving.lane.reply import encoded
from serving.lane.request import Request

_IDLE_SECONDS: Final = 75.0
_REQUEST_SECONDS: Final = 60.0
_WRITE_SECONDS: Final = 60.0
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 64 * 1024 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Handler(Protocol):
    """Where requests go."""

    max_body_bytes: int

    def lasts(self, connection: Connection) -> bool:
        """Whether it may ask again; else its next answer is its last."""

    def take(self, connection: Connection, request: Request) -> Answer | None:
        """Answer now; or None, and call `connection.answer` later, on the loop's thread."""

    def refuse(self, error: BatonError, request: Request | None, status: int) -> Answer:
        """What is said to bytes that are no request; `request` is as much of it as there is.

        `status` is for what is no HTTP at all; where a protocol is known, it has its own.
        """

    def opened(self, connection: Connection) -> bool:
        """Know of one more connection; False if there are too many."""

    def closed(self, connection: Connection) -> None:
        """Forget it."""


class Connection(asyncio.Protocol):
    """See the module. All of it runs on the loop's thread."""

    def __init__(self, handler: Handler) -> None:
        """Nothing is done before the loop says that the connection was made."""
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._early = b""
        self._heard = 0
        self._answering = self._full = self._lingering = False
        self._ended = self._is_held = False
        self._since = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; or refuse, if there are too many already."""
        self._transport = cast("asyncio.Transport", transport)
        self._incoming = Incoming(
            most_bytes=self._handler.max_body_bytes,
            peer=transport.get_extra_info("peername"),
            here=transport.get_extra_info("sockname"),
        )
        self._since = time.monotonic()
        if not self._handler.opened(self):
            self._last_words(self._handler.refuse(all_taken(), None, 503))

    def data_received(self, data: bytes) -> None:
        """Go on with the request that is under way, or begin one; answer what is whole."""
        if self._lingering:
            self._heard += len(data)
            if self._heard > _LINGER_BYTES:
                self.abort()
            return
        if self._answering:  # the next request, before this one has its answer
            self._early += data
            self._pause_reading()
            return
        if not self._incoming.has_begun:
            self._since = time.monotonic()
        self._feed(data)
        self._advance()

    def eof_received(self) -> bool:
        """The client sends no more; True while it is still owed an answer."""
        self._ended = True
        if self._answering or self._full:
            return True
        self._broken_off()
        return False

    def pause_writing(self) -> None:
        """The client reads too slowly: nothing more of it is read before it does."""
        self._full = True
        self._since = time.monotonic()
        self._pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        if not self._answering:
            self._go_on()

    def connection_lost(self, _error: Exception | None) -> None:
        """The end, however it came; an answer that is still made is made for nobody."""
        self._handler.closed(self)
        self._transport = None
        self._incoming.close()

    # What the worker calls.

    def answer(self, answer: Answer) -> None:
        """The answer to the request that `take` kept."""
        self._answering = False
        if self._transport is None:
            return
        self._reply(answer)
        if not self._full:
            self._go_on()

    def look(self, now: float) -> None:
        """End it if it has kept still for too long: called every second."""
        if self._answering:
            return
        waited = now - self._since
        if self._lingering:
            if waited > _LINGER_SECONDS:
                self.abort()
        elif self._full:
            if waited > _WRITE_SECONDS:
                self.abort()
        elif self._incoming.has_begun:
            if waited > _REQUEST_SECONDS:
                self._refuse(late(_REQUEST_SECONDS))
        elif waited > _IDLE_SECONDS or (waited > _LINGER_SECONDS and not self._handler.lasts(self)):
            self._close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport:
            self._transport.abort()

    # Requests.

    def _feed(self, data: bytes) -> None:
        assert self._transport
        try:
            self._incoming.feed(data)
        except NoRequest as none:
            self._refuse(none)
        if self._incoming.awaits_go_ahead:
            self._incoming.awaits_go_ahead = False
            self._transport.write(_CONTINUE)

    def _advance(self) -> None:
        """Answer what is whole, one after the other, until something has to be waited for."""
        while not (self._answering or self._full or self._lingering or self._is_closing()):
            request = self._incoming.whole()
            if request is None:
                return
            answer = self._handler.take(self, request)
            if answer is None:
                self._answering = True
                return
            self._reply(answer)

    def _go_on(self) -> None:
        """Take what has come meanwhile; hear the client again, if it has more to say."""
        self._advance()
        if self._answering or self._full:
            return
        if self._is_held:
            self._resume_reading()
        if self._ended and not self._lingering:
            self._broken_off()
            self._close()

    def _broken_off(self) -> None:
        if self._incoming.has_begun:
            self._refuse(broken_off())

    def _reply(self, answer: Answer) -> None:
        """Send the answer; begin with what came behind its request."""
        assert self._transport
        incoming = self._incoming
        keep = incoming.keeps_alive and self._handler.lasts(self)
        self._transport.write(encoded(answer, incoming.request, keep=keep))
        if not keep:
            self._close()
            return
        rest, self._early = incoming.take_rest() + self._early, b""
        self._since = time.monotonic()
        if rest:
            self._feed(rest)

    def _refuse(self, none: NoRequest) -> None:
        """Say what is wrong with bytes after which no other request can be found."""
        if not self._lingering:
            request = self._incoming.request
            self._last_words(self._handler.refuse(none.error, request, none.status))

    def _last_words(self, answer: Answer) -> None:
        """Send, then hear the client out for a while: closing at once would reset what it reads."""
        assert self._transport
        self._lingering = True
        self._since = time.monotonic()
        self._transport.write(encoded(answer, self._incoming.request, keep=False))
        self._transport.write_eof()

    def _is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _close(self) -> None:
        if self._transport:
            self._transport.close()

    def _pause_reading(self) -> None:
        if self._transport and not self._transport.is_closing():
            self._is_held = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport and not self._transport.is_closing():
            self._is_held = False
            self._transport.resume_reading()


def all_taken() -> Overloaded:
    """What a client is told that comes when there are as many as a worker takes."""
    return Overloaded("all connections of this worker are taken; try again shortly")
