"""What is done to hurt a decoder: sizes that are not there, bombs, floods, and broken words."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from registry.errors import RequestTooLarge, SignatureMismatch
from serving.kinds import containers
from serving.kinds.pictures import Picture, Wanted
from tests.servingfakes import pictures
from tests.servingfakes.pictures import BLUE, FORMATS, RED, chunk, png_of, saved, with_chunks

AS_IT_IS = Wanted(height=-1, width=-1, channels=3, channels_first=False, dtype="uint8")
ORIENTATION = 0x0112
ROOT = Path(__file__).resolve().parents[2]


def array(data: bytes) -> Any:
    return Picture("image", data).array(AS_IT_IS)


def refusal(data: bytes) -> tuple[str, str]:
    """Expected and got of the mismatch that these bytes are."""
    with pytest.raises(SignatureMismatch) as caught:
        array(data)
    return caught.value.expected, caught.value.got


def test_only_the_header_is_read_before_it_is_asked_for() -> None:
    one = Picture("image", png_of(5000, 5000))
    assert (one.width, one.height, one.pixels) == (5000, 5000, 25_000_000)
    with pytest.raises(SignatureMismatch, match="image: expected a whole picture"):
        one.array(AS_IT_IS)


@pytest.mark.parametrize("size", [(70_000, 1), (1, 70_000), (2**31 - 1, 2**31 - 1)])
def test_a_side_that_no_camera_has_is_too_large(size: tuple[int, int]) -> None:
    with pytest.raises(RequestTooLarge, match="image: "):
        Picture("image", png_of(*size))


def test_a_webp_that_says_it_is_huge_is_not_believed() -> None:
    data = bytearray(saved(pictures.halves().convert("RGBA"), "WEBP", exif=b"Exif\0\0II*\0"))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\xff\xff\xff\xff\xff\xff"  # 2**24 by 2**24
    with pytest.raises((RequestTooLarge, SignatureMismatch)):
        Picture("image", bytes(data))


BOMB = zlib.compress(bytes(1_000_000), 9)
CHUNKS: dict[str, Callable[[], bytes]] = {
    "zTXt": lambda: chunk(b"zTXt", b"key\0\0" + BOMB),
    "iTXt": lambda: chunk(b"iTXt", b"key\0\1\0\0\0" + BOMB),
    "iCCP": lambda: chunk(b"iCCP", b"key\0\0" + BOMB),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_what_unpacks_beside_the_picture_is_never_unpacked(name: str) -> None:
    data = with_chunks(pictures.picture(), *[CHUNKS[name]()] * 2000)
    begun = time.process_time()
    assert array(data).shape == (10, 20, 3)
    assert time.process_time() - begun < 0.5
    assert name.encode() not in containers.bare("image", data)[1]


def test_a_png_has_only_so_many_chunks() -> None:
    data = with_chunks(pictures.picture(), chunk(b"IDAT", b"") * 30_000)
    assert refusal(data)[0] == "a PNG of at most 20000 chunks"


FLOODS = {
    "empty segments": b"\xff\xe5\0\2" * 3_000_000,
    "comments": b"\xff\xfe\0\2" * 3_000_000,
    "markers alone": b"\xff\x01" * 6_000_000,
    "nothing": b"\xff\xfe\0\2" + bytes(12_000_000),
    "filling": b"\xff" * 12_000_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_floods_a_jpeg_costs_next_to_nothing(name: str) -> None:
    good = saved(pictures.halves(), "JPEG")
    data = good[:2] + FLOODS[name] + good[2:]
    begun = time.process_time()
    try:
        assert array(data).tolist() == array(good).tolist()
    except SignatureMismatch as error:
        assert error.expected.startswith("a JPEG of at most 2000 segments")  # noqa: PT017
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("form", FORMATS)
def test_exif_longer_than_a_camera_writes_is_not_read(form: str) -> None:
    def exif(tags: int) -> bytes:
        entries = b"".join(struct.pack("<HHII", ORIENTATION + n, 3, 1, 6) for n in range(tags))
        return b"Exif\0\0II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4)

    image = Image.new("RGB", (3, 5))
    assert array(saved(image, form, exif=exif(5000))).shape == (3, 5, 3)
    long = exif(60_000)
    if form == "JPEG":  # in several segments, which Pillow joins
        good = saved(image, "JPEG")
        pieces = [b"Exif\0\0" + long[6:][at : at + 60_000] for at in range(0, len(long), 60_000)]
        longer = b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 2) + p for p in pieces)
        data = good[:2] + longer + good[2:]
    else:
        data = saved(image, form, exif=long)
    begun = time.process_time()
    assert array(data).shape in ((5, 3, 3), (3, 5, 3))
    assert time.process_time() - begun < 0.1


def test_a_jpeg_without_its_profile_and_comments_has_the_same_pixels() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    for mode in ("RGB", "CMYK", "L"):
        image = Image.fromarray(noise, "RGBA").convert("RGB").convert(mode)
        data = saved(image, "JPEG", icc_profile=bytes(200_000), comment=b"x" * 60_000, dpi=(9, 9))
        assert len(containers.bare("image", data)[1]) < 20_000
        with Image.open(io.BytesIO(data)) as opened:
            assert array(data).tolist() == np.asarray(opened.convert("RGB")).tolist()


def test_what_adobe_says_of_a_jpegs_colours_is_heard() -> None:
    data = bytearray(saved(pictures.halves(), "JPEG", keep_rgb=True, quality=100))
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for number in range(3):  # no longer called R, G and B: only Adobe's segment says it
        data[frame + 10 + 3 * number] = data[scan + 5 + 2 * number] = number + 1
    assert b"Adobe" in data
    found = array(bytes(data)).astype(int)
    assert np.abs(found[0] - RED).max() < 5
    assert np.abs(found[-1] - BLUE).max() < 5


def test_a_jpeg_has_only_so_many_scans() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert array(data).shape == array(data[:-2] + scan * 50 + data[-2:]).shape
    bomb = data[:-2] + scan * 5000 + data[-2:]
    begun = time.process_time()
    assert refusal(bomb) == ("a JPEG of at most 2000 segments and 100 scans", "more")
    assert time.process_time() - begun < 0.5


def test_what_looks_like_scans_behind_the_end_is_none() -> None:
    """A phone puts a film behind its picture."""
    film = b"\0\2" + b"\xff\xda\0\2" * 5000
    assert array(saved(pictures.halves(), "JPEG") + film).shape == (16, 16, 3)


OPENED = """
from PIL import Image
from serving.kinds.pictures import Picture
for start in (b"RIFF....WEBP", b"\\xff\\xd8\\xff", b"GIF89a", b"BM"):
    try:
        Picture("image", start + bytes(1000))
    except Exception as error:
        assert type(error).__name__ == "SignatureMismatch", error
print(*sorted(Image.OPEN))
"""


def script(text: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_other_format_is_tried() -> None:
    """Pillow always has its few common ones; it loads all others to try them."""
    assert set(script(OPENED).split()) == {*FORMATS, "BMP", "DIB", "GIF", "PPM"}


KEPT = """
import io, struct, sys
from PIL import Image, TiffImagePlugin
from serving.kinds.pictures import Picture, Wanted
wanted = Wanted(height=4, width=4, channels=3, channels_first=False, dtype="uint8")
for tag in range(0xC000, 0xC000 + 40):
    out = io.BytesIO()
    entry = struct.pack("<HHHII", 1, tag, 2, 10_000, 8)
    exif = b"Exif\\0\\0II*\\0" + struct.pack("<I", 8) + entry + bytes(4)
    Image.new("RGB", (4, 4)).save(out, "JPEG", exif=exif)
    Picture("image", out.getvalue()).array(wanted)
kept = vars(TiffImagePlugin).get("__warningregistry__", {})
print(len([text for text in kept if text != "version"]))
"""


def test_pillows_warnings_are_not_kept() -> None:
    """Python remembers each text it has shown, and these are the client's choice."""
    assert script(KEPT) == "0"
    without = "import warnings\nwarnings.filterwarnings = lambda *_, **__: None\n"
    assert int(script(without + KEPT)) >= 40
