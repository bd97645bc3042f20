"""A picture's bytes to the array a graph takes: the only file that knows Pillow.

In this order: header, turned upright (EXIF), gray or RGB, resized (bilinear, whatever its aspect),
the graph's layout and type. Transparency and colour profiles are left out, as Keras and TensorFlow
leave them out; of an animation the first picture counts.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# The plugins by name: whatever is not imported cannot be opened.
from PIL import (
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from registry.errors import RequestError, RequestTooLarge, SignatureMismatch
from serving.kinds.containers import bare

PLUGINS: Final = (PngImagePlugin, JpegImagePlugin, WebPImagePlugin)
# Python keeps the text of every warning it has shown, and clients choose some of Pillow's.
warnings.filterwarnings("ignore", module=r"PIL\.")
_LONGEST_SIDE: Final = 65_535
_MOST_EXIF: Final = 65_535  # what fits into a JPEG's segment; Pillow reads it in Python
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODES: Final = {1: "L", 3: "RGB"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a graph takes of one picture; a height or width of -1 is the picture's own."""

    height: int
    width: int
    channels: int
    channels_first: bool
    dtype: str

    @property
    def pixels(self) -> int:
        """Of one picture as the graph sees it; 0 where that is the picture's choice."""
        return self.height * self.width if self.is_fixed else 0

    @property
    def is_fixed(self) -> bool:
        """Whether all pictures come to the same size."""
        return self.height > 0 and self.width > 0


class Picture:
    """One picture that came, of which nothing but the header has been read yet."""

    def __init__(self, field: str, data: bytes) -> None:
        """Raises SignatureMismatch if it is none, RequestTooLarge for a side that no camera has."""
        self.field = field
        self._came = data
        self._format, self._data = bare(field, data)
        with self._opened() as image:
            self.width, self.height = image.size
        if max(self.width, self.height) > _LONGEST_SIDE:
            raise RequestTooLarge(
                f"{field}: {self.width} x {self.height} pixels, at most {_LONGEST_SIDE} a side"
            )

    @property
    def pixels(self) -> int:
        """As many as decoding it will make."""
        return self.width * self.height

    def told(self) -> dict[str, Any]:
        """What is remembered of it as it came: format, pixels a side, bytes, SHA-256 (hex)."""
        return {
            "format": self._format,
            "width": self.width,
            "height": self.height,
            "bytes": len(self._came),
            "sha256": hashlib.sha256(self._came).hexdigest(),
        }

    def array(self, wanted: Wanted) -> NDArray[Any]:
        """Decoded: [height, width, channels], or with the channels first. Raises as above."""
        with self._opened() as image:
            image.load()
            upright = _upright(image)
            plain = _converted(upright, _MODES[wanted.channels])
            sides = (
                wanted.width if wanted.width > 0 else plain.width,
                wanted.height if wanted.height > 0 else plain.height,
            )
            if plain.size != sides:
                plain = plain.resize(sides, Image.Resampling.BILINEAR)
            array = np.asarray(plain, dtype=wanted.dtype).reshape(*sides[::-1], wanted.channels)
        return np.ascontiguousarray(array.transpose(2, 0, 1)) if wanted.channels_first else array

    @contextmanager
    def _opened(self) -> Iterator[Image.Image]:
        """The picture. Whatever Pillow raises (it has no common base) is about the bytes."""
        try:
            with Image.open(io.BytesIO(self._data), formats=[self._format]) as image:
                yield image
        except (MemoryError, RequestError):
            raise
        except Image.DecompressionBombError as error:
            raise RequestTooLarge(f"{self.field}: {error}") from error
        except Exception as error:
            cause = "its header" if isinstance(error, UnidentifiedImageError) else str(error)[:100]
            got = f"a {self._format} that cannot be decoded ({cause})"
            raise SignatureMismatch(self.field, expected="a whole picture", got=got) from error


def blank(width: int, height: int) -> bytes:
    """A gray picture of this size, as PNG."""
    out = io.BytesIO()
    Image.new("L", (width, height), 128).save(out, "PNG")
    return out.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    """The way the camera was held; what cannot be read turns nothing, as in every viewer."""
    if len(image.info.get("exif", b"")) > _MOST_EXIF:
        return image
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - as above
        turn = None
    return image if turn is None else image.transpose(turn)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """In shades of gray or in RGB, 8 bits each."""
    if image.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
        high = np.asarray(image).astype(np.uint32) >> 8
        image = Image.fromarray(high.clip(max=255).astype(np.uint8))
    image.info.pop("transparency", None)
    return image if image.mode == mode else image.convert(mode)
