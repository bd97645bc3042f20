"""Picture files to arrays and back: the same pixels that serving makes of the same bytes.

PNG, JPEG and WebP; turned upright (EXIF), RGB, Pillow's bilinear filter to the wanted size whatever
the aspect. Golden examples hold a version to it (docs/adr/0013-images.md).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from registry.errors import DataInvalid
from training.workload import Array

FORMATS = ("PNG", "JPEG", "WEBP")
_LONGEST_SIDE = 20_000
_MOST_PIXELS = 25_000_000  # what a server takes where BATON_MAX_PIXELS says nothing else
# A request brings a file as it is up to this size, and a smaller picture of a larger one: a
# hold-out of photographs as they are would be gigabytes.
_MOST_BYTES = 256 * 1024
_SHOWN_SIDE = 512
_SHOWN_QUALITY = 95


def read(paths: Sequence[str], size: int) -> Array:
    """All pictures, uint8 [n, size, size, 3]; raises DataInvalid naming the file."""
    pictures = np.empty((len(paths), size, size, 3), np.uint8)
    for row, path in enumerate(paths):
        pictures[row] = decode(_bytes(path), size, name=path)
    return pictures


def check(path: str) -> None:
    """Raise DataInvalid unless the file is a picture that can be decoded and is not too large."""
    _opened(_bytes(path), path)


def decode(data: bytes, size: int, *, name: str) -> Array:
    """One picture, uint8 [size, size, 3]; raises DataInvalid naming it."""
    picture = _opened(data, name)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def encode(picture: Array) -> bytes:
    """A PNG of uint8 [height, width, 3]."""
    return _saved(Image.fromarray(picture), "PNG")


def as_text(path: str) -> str:
    """A picture in base64, as a request brings it; a large file as a JPEG of 512 pixels a side."""
    data = _bytes(path)
    if len(data) > _MOST_BYTES:
        picture = _opened(data, path)
        picture.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE), Image.Resampling.BILINEAR)
        data = _saved(picture, "JPEG", quality=_SHOWN_QUALITY)
    return base64.b64encode(data).decode()


def from_text(text: str, size: int) -> Array:
    """The reverse of `as_text`, uint8 [size, size, 3]; raises DataInvalid."""
    return decode(base64.b64decode(text), size, name="image")


def _opened(data: bytes, name: str) -> Image.Image:
    """Upright and RGB. Whatever Pillow raises (it has no common base) is about the bytes."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_large(*image.size, name)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except (DataInvalid, MemoryError):
        raise
    except Exception as error:
        raise DataInvalid(
            f"{name}: expected a whole picture ({', '.join(FORMATS)}), got {len(data)} bytes that "
            f"cannot be decoded ({type(error).__name__})"
        ) from error


def _refuse_large(width: int, height: int, name: str) -> None:
    """Before any of it is decoded."""
    if max(width, height) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise DataInvalid(
            f"{name}: {width} x {height} pixels; expected at most {_LONGEST_SIDE} a side and "
            f"{_MOST_PIXELS} together: make it smaller"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel; of 16 bits of gray the higher ones."""
    if image.mode.startswith("I"):
        high = np.asarray(image).astype(np.uint32) >> 8
        image = Image.fromarray(high.clip(max=255).astype(np.uint8))
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")


def _saved(image: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataInvalid(f"{path}: cannot be read: {error.strerror}") from error
