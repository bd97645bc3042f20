"""Pictures as clients send them, and a version that tells their colour."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.servingfakes import models
from tests.servingfakes.versions import folder

LABELS = ["red", "green", "blue"]
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}
FORMATS = ("PNG", "JPEG", "WEBP")


def picture(
    colour: Any = RED, *, size: tuple[int, int] = (20, 10), form: str = "PNG", mode: str = "RGB"
) -> bytes:
    """A picture of one colour."""
    return saved(Image.new("RGB", size, colour).convert(mode), form)


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def halves(**options: Any) -> Image.Image:
    """Red above, blue below, in 16 by 16: shows whether it stands on its feet."""
    array = np.zeros((16, 16, 3), np.uint8)
    array[:8], array[8:] = RED, BLUE
    return Image.fromarray(array, **options)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def png_of(width: int, height: int) -> bytes:
    """A PNG that says this size, and has a few bytes of it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def image_folder(
    path: Path,
    model: bytes | None = None,
    *,
    schema: Mapping[str, Any] | None = None,
    golden: Mapping[str, Any] | None = None,
) -> Path:
    """A version of kind `image`, as training packages it."""
    own = {"format": 1, "kind": "image", "engine": "onnx", "model_file": "model.onnx"}
    files = {
        "baton/bundle.json": json.dumps(own),
        "baton/model_schema.json": json.dumps({"labels": LABELS} if schema is None else schema),
    }
    if golden:
        files["baton/golden.json"] = json.dumps(golden)
    return folder(path, models.colours() if model is None else model, files=files)
