"""The three formats a picture may come in: found by content, and freed of what is no picture.

Whatever a decoder would unpack or go over again at a client's wish is taken out or counted here,
before anything is decoded. Knows no pixels and no Pillow.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from registry.errors import SignatureMismatch

EXPECTED: Final = "a PNG, JPEG or WebP picture"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# The pixels, and which way up they are: texts, profiles and animations stay out, for they unpack
# to a thousand times their size.
_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})
_MOST_CHUNKS: Final = 20_000  # libpng writes 8 KiB a chunk: 160 MB
# Tables, the frame, what JFIF and Adobe say of its colours.
_JPEG_KEPT: Final = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD, 0xE0, 0xEE})
_JPEG_EXIF: Final = b"\xff\xe1"
_MOST_SEGMENTS: Final = 2000
# A progressive JPEG has about ten scans; each one is a walk over the whole picture.
_MOST_SCANS: Final = 100
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_ALONE: Final = frozenset({0x01, 0xD8})  # markers with nothing behind them
_END, _SCAN = 0xD9, 0xDA
# What else people send, told by its first bytes.
_OTHERS: Final[Mapping[bytes, str]] = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"data:": "a data URL: send what is behind its comma, as JSON",
    b"iVBORw0KGgo": "a PNG in base64: send that as JSON",
    b"/9j/": "a JPEG in base64: send that as JSON",
}


def bare(field: str, data: bytes) -> tuple[str, bytes]:
    """The format of a picture, as Pillow names it, and the bytes that are worth decoding.

    Raises SignatureMismatch for other formats, and for what no camera or program writes.
    """
    for name, (fits, strip) in _FORMATS.items():
        if fits(data):
            return name, strip(field, data)
    raise SignatureMismatch(field, expected=EXPECTED, got=_told(data))


def _png(field: str, data: bytes) -> bytes:
    """Only the chunks that make up the picture."""
    kept, at = [_PNG], len(_PNG)
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            break
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        if name == b"IEND":
            return b"".join(kept)
        at = end
    else:
        raise SignatureMismatch(
            field, expected=f"a PNG of at most {_MOST_CHUNKS} chunks", got="more"
        )
    raise SignatureMismatch(field, expected="a whole picture", got="a PNG that breaks off")


def _jpeg(field: str, data: bytes) -> bytes:
    """Only the segments that make up the picture, if it has a sane number of them and of scans."""
    kept, at, scans, pixels = [data[:2]], 2, 0, len(data)
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return b"".join([*kept, data[pixels:]])
        start, at, marker = found.start(), found.end(), data[found.end() - 1]
        if marker == _END:
            return b"".join([*kept, data[pixels:at]])
        if marker in _ALONE:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if marker == _SCAN:
            scans, pixels = scans + 1, min(pixels, start)
        elif not scans and (marker in _JPEG_KEPT or _is_exif(data, start, kept)):
            kept.append(data[start:at])
        if scans > _MOST_SCANS:
            break
    limits = f"{_MOST_SEGMENTS} segments and {_MOST_SCANS} scans"
    raise SignatureMismatch(field, expected=f"a JPEG of at most {limits}", got="more")


def _is_exif(data: bytes, start: int, kept: Sequence[bytes]) -> bool:
    """Whether this segment is EXIF, and the first."""
    first = not any(one.startswith(_JPEG_EXIF) for one in kept)
    return (
        first and data[start : start + 2] == _JPEG_EXIF and data[start + 4 : start + 8] == b"Exif"
    )


def _webp(_field: str, data: bytes) -> bytes:
    """All of it: nothing in it unpacks but the picture."""
    return data


_FORMATS: Final[Mapping[str, tuple[Callable[[bytes], bool], Callable[[str, bytes], bytes]]]] = {
    "PNG": (lambda data: data.startswith(_PNG), _png),
    "JPEG": (lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    "WEBP": (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _webp),
}


def _told(data: bytes) -> str:
    """What came instead, in words."""
    if not data:
        return "nothing"
    if data[4:8] == b"ftyp":
        return "an HEIC or AVIF picture, or a film"
    head = data.lstrip()[:16]
    other = next((name for start, name in _OTHERS.items() if head.startswith(start)), None)
    return other or f"{len(data)} bytes that are none"
