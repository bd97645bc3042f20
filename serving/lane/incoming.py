"""The bytes of one client, as requests: one after the other, each bounded.

Gunicorn's C parser says what is HTTP and where a message ends; here is what else a request may not
be. Knows no socket.
"""

from __future__ import annotations

from typing import Final

from gunicorn_h1c import H1CProtocol, LimitRequestHeaders, LimitRequestLine

from registry.errors import BatonError, MalformedRequest, RequestTooLarge
from serving.lane.request import Request

_LINE_BYTES: Final = 4094
_FIELDS: Final = 100
_FIELD_BYTES: Final = 8190
_HEAD_BYTES: Final = 64 * 1024
# A chunk of one byte has five more around it.
_BYTES_A_CHUNKED_BYTE: Final = 6
Address = tuple[str, int] | None


class NoRequest(Exception):
    """What came is none, and nothing behind it can be one; `status` if no protocol has its own."""

    def __init__(self, error: BatonError, status: int) -> None:
        """`error` says what is wrong with it."""
        super().__init__(str(error))
        self.error, self.status = error, status


class Incoming:
    """One request at a time; what comes behind it waits to be fed again."""

    def __init__(self, *, most_bytes: int, peer: Address, here: Address) -> None:
        """A body may have `most_bytes`."""
        self._most_bytes, self._peer, self._here = most_bytes, peer, here
        self._parser = H1CProtocol(
            on_headers_complete=self._on_head,
            on_body=self._on_chunk,
            limit_remaining=0,
            limit_request_line=_LINE_BYTES,
            limit_request_fields=_FIELDS,
            limit_request_field_size=_FIELD_BYTES,
        )
        self.request: Request | None = None
        self.awaits_go_ahead = False
        self._chunks: list[bytes] = []
        self._size = self._fed = 0

    @property
    def has_begun(self) -> bool:
        """Whether anything of a request is here."""
        return self._fed > 0

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to go on after this request."""
        return bool(self._parser.should_keep_alive)

    def feed(self, data: bytes) -> None:
        """Take what came, if the request before is done with. Raises NoRequest.

        `awaits_go_ahead` is set if the client sends its body only once it is told to.
        """
        self._fed += len(data)
        try:
            self._parser.feed(data)
        except LimitRequestLine:
            raise _no(f"request line: more than {_LINE_BYTES} bytes", 414) from None
        except LimitRequestHeaders:
            limits = f"at most {_FIELDS} of at most {_FIELD_BYTES} bytes"
            raise _no(f"headers: too many or too long, {limits}", 431) from None
        except ValueError as error:  # its ParseError; it has two of that name
            broken = "body: broken off, or not in chunks ({})" if self.request else "not HTTP: {}"
            raise _no(broken.format(error), 400) from None
        except BatonError as error:
            raise NoRequest(error, 400) from None
        self._check_overhead()

    def whole(self) -> Request | None:
        """The request with its body, once all of it is here."""
        request = self.request
        if request is None or not self._parser.is_complete:
            return None
        request.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        return request

    def take_rest(self) -> bytes:
        """Be done with this request; what came behind it."""
        rest: bytes = self._parser.remaining()
        self._parser.reset()
        self.request = None
        self._chunks = []
        self._size = self._fed = 0
        return rest

    def close(self) -> None:
        """Let go of the parser, which holds methods of this object."""
        self._parser = None

    def _check_overhead(self) -> None:
        """Bound what the parser keeps to itself: a head, or a chunk's size, without an end."""
        if self._parser.is_complete:
            return
        if self._fed - self._size > _HEAD_BYTES + _BYTES_A_CHUNKED_BYTE * self._size:
            raise _no(f"more than {_HEAD_BYTES} bytes of headers", 400 if self.request else 431)

    def _on_head(self) -> bool:
        parser = self._parser
        self.request = request = Request(
            parser.method,
            parser.path,
            parser.http_version,
            parser.headers,
            parser.get_header,
            self._peer,
            self._here,
        )
        if (parser.content_length or 0) > self._most_bytes:
            self._too_large()
        for name, _ in request.headers:
            if b"_" in name:  # a proxy in front may have meant another header by it
                raise MalformedRequest(f"header {name.decode('latin-1')!r}: expected no underscore")
        if expected := parser.get_header(b"Expect"):
            if expected.lower() != b"100-continue":
                said = expected.decode("latin-1")
                raise _no(f"Expect: only 100-continue, got {said}", 417)
            self.awaits_go_ahead = request.version >= (1, 1)
        return False

    def _on_chunk(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > self._most_bytes:
            self._too_large()

    def _too_large(self) -> None:
        raise RequestTooLarge(f"body: more than {self._most_bytes} bytes")


def broken_off() -> NoRequest:
    """What is said where the client's bytes end in the middle of a request."""
    return _no("body: broken off, or not in chunks (end of data)", 400)


def late(seconds: float) -> NoRequest:
    """What is said where they take too long."""
    return _no(f"expected a whole request within {seconds:g} s", 408)


def _no(said: str, status: int) -> NoRequest:
    return NoRequest(MalformedRequest(said), status)
