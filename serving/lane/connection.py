"""One client's connection: its bytes become requests, answers become bytes again.

One request at a time, in the order they came. What waits is bounded: a body by the largest one that
is allowed, everything else by a few kilobytes, both by time. Gunicorn's C parser says what is HTTP
and where a message ends; nothing here knows what a path means.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol, cast

from gunicorn_h1c import H1CProtocol, LimitRequestHeaders, LimitRequestLine

from registry.errors import BatonError, MalformedRequest, RequestTooLarge
from serving.answer import Answer
from serving.lane.reply import encoded
from serving.lane.request import Request

_LINE_BYTES: Final = 4094
_FIELDS: Final = 100
_FIELD_BYTES: Final = 8190
_HEAD_BYTES: Final = 64 * 1024
# A chunk of one byte has five more around it.
_BYTES_A_CHUNKED_BYTE: Final = 6
_IDLE_SECONDS: Final = 75.0
_REQUEST_SECONDS: Final = 60.0
_WRITE_SECONDS: Final = 60.0
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 64 * 1024 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Handler(Protocol):
    """Where requests go."""

    max_body_bytes: int

    @property
    def stopping(self) -> bool:
        """Whether each connection's next answer is to be its last."""

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
        self._parser = H1CProtocol(
            on_headers_complete=self._on_head,
            on_body=self._on_chunk,
            limit_remaining=0,
            limit_request_line=_LINE_BYTES,
            limit_request_fields=_FIELDS,
            limit_request_field_size=_FIELD_BYTES,
        )
        self._request: Request | None = None
        self._chunks: list[bytes] = []
        self._early = b""
        self._size = self._raw = 0
        self._answering = self._full = self._lingering = False
        self._ended = self._is_held = False
        self._since = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; or refuse, if there are too many already."""
        self._transport = cast("asyncio.Transport", transport)
        self._peer = transport.get_extra_info("peername")
        self._here = transport.get_extra_info("sockname")
        self._since = time.monotonic()
        if not self._handler.opened(self):
            busy = BatonError("too many connections; try again shortly")
            self._last_words(self._handler.refuse(busy, None, 503))

    def data_received(self, data: bytes) -> None:
        """Go on with the request that is under way, or begin one; answer what is whole."""
        if self._lingering:
            self._raw += len(data)
            if self._raw > _LINGER_BYTES:
                self.abort()
            return
        if self._answering:  # the next request, before this one has its answer
            self._early += data
            self._pause_reading()
            return
        if not self._raw:
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
        self._parser = None  # it holds methods of this object

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
        elif self._raw:
            if waited > _REQUEST_SECONDS:
                late = f"expected a whole request within {_REQUEST_SECONDS:g} s"
                self._refuse(MalformedRequest(late), 408)
        elif waited > _IDLE_SECONDS or (self._handler.stopping and waited > _LINGER_SECONDS):
            self._close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport:
            self._transport.abort()

    # Bytes in.

    def _feed(self, data: bytes) -> None:
        self._raw += len(data)
        try:
            self._parser.feed(data)
        except LimitRequestLine:
            self._refuse(MalformedRequest(f"request line: more than {_LINE_BYTES} bytes"), 414)
        except LimitRequestHeaders:
            limits = f"at most {_FIELDS} of at most {_FIELD_BYTES} bytes"
            self._refuse(MalformedRequest(f"headers: too many or too long, {limits}"), 431)
        except ValueError as error:  # its ParseError; it has two of that name
            known = self._request is not None
            said = (
                f"body: broken off, or not in chunks ({error})" if known else f"not HTTP: {error}"
            )
            self._refuse(MalformedRequest(said), 400)
        except _Expected as error:
            self._refuse(MalformedRequest(f"Expect: only 100-continue, got {error}"), 417)
        except BatonError as error:
            self._refuse(error, 400)
        else:
            self._check_overhead()

    def _check_overhead(self) -> None:
        """Bound what the parser keeps to itself: a head, or a chunk's size, without an end."""
        if self._parser.is_complete:
            return
        if self._raw - self._size > _HEAD_BYTES + _BYTES_A_CHUNKED_BYTE * self._size:
            status = 400 if self._request else 431
            self._refuse(MalformedRequest(f"more than {_HEAD_BYTES} bytes of headers"), status)

    def _on_head(self) -> bool:
        parser = self._parser
        transport = self._transport
        assert transport
        self._request = request = Request(
            parser.method,
            parser.path,
            parser.http_version,
            parser.headers,
            parser.get_header,
            self._peer,
            self._here,
        )
        if (parser.content_length or 0) > self._handler.max_body_bytes:
            self._too_large()
        for name, _ in request.headers:
            if b"_" in name:  # a proxy in front may have meant another header by it
                raise MalformedRequest(f"header {name.decode('latin-1')!r}: expected no underscore")
        if expected := parser.get_header(b"Expect"):
            if expected.lower() != b"100-continue":
                raise _Expected(expected.decode("latin-1"))
            if request.version >= (1, 1):
                transport.write(_CONTINUE)
        return False

    def _on_chunk(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > self._handler.max_body_bytes:
            self._too_large()

    def _too_large(self) -> None:
        raise RequestTooLarge(f"body: more than {self._handler.max_body_bytes} bytes")

    # Requests.

    def _advance(self) -> None:
        """Answer what is whole, one after the other, until something has to be waited for."""
        while not (self._answering or self._full or self._lingering or self._is_closing()):
            request = self._request
            if request is None or not self._parser.is_complete:
                return
            request.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
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
        if self._raw and not self._lingering:
            self._refuse(MalformedRequest("body: broken off, or not in chunks (end of data)"), 400)

    def _reply(self, answer: Answer) -> None:
        """Send the answer; begin with what came behind its request."""
        assert self._transport
        assert self._request
        parser = self._parser
        keep = parser.should_keep_alive and not self._handler.stopping
        self._transport.write(encoded(answer, self._request, keep=keep))
        if not keep:
            self._close()
            return
        tail, self._early = parser.remaining() + self._early, b""
        parser.reset()
        self._request = None
        self._chunks = []
        self._size = self._raw = 0
        self._since = time.monotonic()
        if tail:
            self._feed(tail)

    def _refuse(self, error: BatonError, status: int) -> None:
        """Say what is wrong with bytes after which no other request can be found."""
        if not self._lingering:
            self._last_words(self._handler.refuse(error, self._request, status))

    def _last_words(self, answer: Answer) -> None:
        """Send, then hear the client out for a while: closing at once would reset what it reads."""
        assert self._transport
        self._lingering = True
        self._since = time.monotonic()
        self._raw = 0
        self._transport.write(encoded(answer, self._request, keep=False))
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


class _Expected(Exception):
    """The client expects what this server has not heard of."""
