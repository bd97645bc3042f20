"""`multipart/form-data`, of a body that is whole in memory: its parts, and nothing written to disk.

Werkzeug's decoder reads it; here is only what a client may not do to it: endless headers, endless
parts, or bytes that never come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from registry.errors import MalformedRequest, RequestTooLarge

MEDIA_TYPE: Final = "multipart/form-data"
_MOST_PARTS: Final = 1000
_STEP: Final = 64 * 1024
# Of a part's headers, of what is before the first boundary: refused before it is taken apart.
_MOST_BETWEEN_PARTS: Final = _STEP
_LONGEST_BOUNDARY: Final = 200  # 70 by RFC 2046, which clients (Werkzeug's own) forget


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form. A text has no `filename`; one that is empty is a file's too."""

    name: str
    filename: str | None
    data: bytes


def parts(body: bytes, content_type: str) -> list[Part]:
    """The fields of a form, in their order. Raises MalformedRequest, RequestTooLarge."""
    try:
        return _parts(_events(body, _boundary(content_type)))
    except RequestEntityTooLarge as error:
        raise RequestTooLarge(f"body: more than {_MOST_PARTS} parts: send several") from error
    except ValueError as error:
        raise MalformedRequest(f"body: no {MEDIA_TYPE} that could be read: {error}") from error


def _boundary(content_type: str) -> bytes:
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise MalformedRequest(
            f"Content-Type: expected {MEDIA_TYPE} with a boundary of 1 to {_LONGEST_BOUNDARY} "
            f"ASCII characters, got {content_type[:200]!r}; leave the header to your HTTP library"
        )
    return boundary.encode()


def _events(body: bytes, boundary: bytes) -> Iterator[Event]:
    """Werkzeug's events. A body is handed over piece by piece, so that headers have a bound."""
    decoder = MultipartDecoder(boundary, max_parts=_MOST_PARTS)
    view, in_data, waiting = memoryview(body), False, 0
    for at in range(0, len(body), _STEP):
        piece = view[at : at + _STEP]
        decoder.receive_data(piece)  # type: ignore[arg-type]
        waiting += len(piece)
        while not isinstance(event := decoder.next_event(), NeedData):
            waiting = 0
            in_data = isinstance(event, (Field, File)) or (
                isinstance(event, Data) and event.more_data
            )
            yield event
        if not in_data and waiting >= _MOST_BETWEEN_PARTS:
            raise ValueError(f"more than {_MOST_BETWEEN_PARTS} bytes of headers, or of no part")
    decoder.receive_data(None)
    while not isinstance(event := decoder.next_event(), Epilogue):
        yield event


def _parts(events: Iterator[Event]) -> list[Part]:
    found: list[Part] = []
    name, filename, pieces = "", None, list[bytes]()
    for event in events:
        if isinstance(event, (Field, File)):
            if not event.name:
                raise ValueError("a part without a name")
            name, pieces = event.name, []
            filename = event.filename if isinstance(event, File) else None
        elif isinstance(event, Data):
            pieces.append(event.data)
            if not event.more_data:
                found.append(Part(name, filename, b"".join(pieces)))
    return found
