"""From a picture's bytes to pixels: every format and mode, and what is no picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from registry.errors import RequestError, SignatureMismatch
from serving.kinds import containers
from serving.kinds.pictures import Picture, Wanted, blank
from tests.servingfakes import pictures
from tests.servingfakes.pictures import BLUE, FORMATS, RED, chunk, saved

AS_IT_IS = Wanted(height=-1, width=-1, channels=3, channels_first=False, dtype="uint8")
SMALL = Wanted(height=4, width=6, channels=3, channels_first=False, dtype="float32")
ORIENTATION = 0x0112
ROOT = Path(__file__).resolve().parents[2]


def array(data: bytes, wanted: Wanted = AS_IT_IS) -> Any:
    return Picture("image", data).array(wanted)


def refusal(data: bytes) -> tuple[str, str]:
    """Expected and got of the mismatch that these bytes are."""
    with pytest.raises(SignatureMismatch) as caught:
        array(data)
    assert caught.value.field == "image"
    return caught.value.expected, caught.value.got


def sixteen_bits(colour_type: int, sample: int) -> bytes:
    """A PNG of 2 by 2 with 16 bits a sample, which Pillow cannot write."""
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    row = b"\0" + struct.pack(">H", sample) * samples * 2
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(row * 2))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


# Formats and modes

MODES = [
    *(("PNG", mode) for mode in ("RGB", "RGBA", "P")),
    *(("JPEG", mode) for mode in ("RGB", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
]
GRAY = [("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("JPEG", "L"), ("WEBP", "L")]


@pytest.mark.parametrize(("form", "mode"), MODES)
def test_every_mode_comes_out_in_its_colours(form: str, mode: str) -> None:
    found = array(pictures.picture(RED, form=form, mode=mode))
    assert (found.dtype, found.shape) == (np.uint8, (10, 20, 3))
    assert np.abs(found.astype(int) - RED).max() <= 3


@pytest.mark.parametrize(("form", "mode"), GRAY)
@pytest.mark.parametrize("white", [0, 255])
def test_shades_of_gray_are_all_three_colours(form: str, mode: str, white: int) -> None:
    found = array(pictures.picture((white,) * 3, form=form, mode=mode))
    assert np.abs(found.astype(int) - white).max() <= 2


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6])
@pytest.mark.parametrize(("sample", "wanted"), [(0x8001, 0x80), (0x0100, 1), (0xFFFF, 0xFF)])
def test_of_16_bits_the_upper_ones_count(colour_type: int, sample: int, wanted: int) -> None:
    assert array(sixteen_bits(colour_type, sample)).tolist() == [[[wanted] * 3] * 2] * 2


def test_a_graph_for_gray_pictures_gets_gray_ones() -> None:
    gray = Wanted(height=-1, width=-1, channels=1, channels_first=False, dtype="uint8")
    assert array(pictures.picture((255, 255, 255)), gray).tolist() == [[[255]] * 20] * 10


@pytest.mark.parametrize("transparency", [b"\0\xff", 0])
def test_transparency_is_left_out(transparency: Any) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*RED, *BLUE])
    found = array(saved(image, transparency=transparency))
    assert found.tolist() == [[list(RED)] * 4] * 4


def test_it_is_resized_and_laid_out_as_the_graph_wants_it() -> None:
    found = array(saved(pictures.halves()), SMALL)
    assert (found.dtype, found.shape) == (np.float32, (4, 6, 3))
    assert found[0].tolist() == [list(RED)] * 6
    assert found[3].tolist() == [list(BLUE)] * 6
    first = Wanted(height=4, width=6, channels=3, channels_first=True, dtype="float32")
    turned = array(saved(pictures.halves()), first)
    assert turned.flags.c_contiguous
    assert turned.tolist() == found.transpose(2, 0, 1).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_it_stands_as_the_camera_was_held(form: str, orientation: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lossless = {"lossless": True} if form == "WEBP" else {}
    data = saved(image, form, exif=exif, **lossless)
    with Image.open(io.BytesIO(data)) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert upright.shape[:2] == ((7, 5) if orientation > 4 else (5, 7))
    assert array(data).tolist() == upright.tolist()


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
@pytest.mark.parametrize("form", FORMATS)
def test_exif_that_cannot_be_read_turns_nothing(form: str, exif: bytes) -> None:
    assert array(saved(pictures.halves(), form, exif=exif)).shape == (16, 16, 3)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_counts(form: str) -> None:
    others = [Image.new("RGB", (8, 8), BLUE)] * 3
    options = {"lossless": True} if form == "WEBP" else {}
    image = Image.new("RGB", (8, 8), RED)
    data = saved(image, form, save_all=True, append_images=others, **options)
    assert array(data).tolist() == [[list(RED)] * 8] * 8


def test_a_blank_one_is_gray() -> None:
    assert array(blank(3, 2)).tolist() == [[[128] * 3] * 3] * 2


# What is none


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing"),
        (b"hello", "5 bytes that are none"),
        (saved(pictures.halves(), "GIF"), "a GIF"),
        (saved(pictures.halves(), "BMP"), "a BMP"),
        (saved(pictures.halves(), "TIFF"), "a TIFF"),
        (b"\0\0\0\x18ftypheic", "an HEIC or AVIF picture, or a film"),
        (b"<svg/>", "an SVG"),
        (pictures.b64(pictures.picture()).encode(), "a PNG in base64: send that as JSON"),
        (pictures.b64(pictures.picture(form="JPEG")).encode(), "a JPEG in base64"),
    ],
)
def test_what_is_none_is_told_what_it_is(data: bytes, words: str) -> None:
    expected, got = refusal(data)
    assert expected == "a PNG, JPEG or WebP picture"
    assert got.startswith(words)


def test_the_content_decides_and_nothing_but_three_formats_can_be_opened() -> None:
    assert list(containers._FORMATS) == list(FORMATS)
    with pytest.raises(SignatureMismatch, match="cannot be decoded"):
        array(b"\xff\xd8\xff" + pictures.picture())
    with pytest.raises(SignatureMismatch, match="a WEBP that cannot be decoded"):
        array(b"RIFF\0\0\0\0WEBP" + pictures.picture())


@pytest.mark.parametrize("form", FORMATS)
def test_what_breaks_off_is_refused(form: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), form)
    for length in range(0, len(data) - 20, max(1, len(data) // 50)):
        expected, got = refusal(data[:length])
        assert "0x" not in got, "an address"
        assert "picture" in expected


def test_a_wrong_checksum_is_refused() -> None:
    data = bytearray(pictures.picture())
    data[31] ^= 0xFF
    assert refusal(bytes(data))[0] == "a whole picture"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(FORMATS), st.integers(0, 200), st.booleans())
def test_whatever_the_bytes_it_is_an_array_or_the_clients_mistake(
    noise: bytes, form: str, at: int, over: bool
) -> None:
    """Noise by itself, behind a good head, and in the middle of a good picture."""
    good = pictures.picture(form=form)
    spoilt = good[:at] + noise + good[at + (len(noise) if over else 0) :]
    for data in (noise, spoilt, good[:16] + noise):
        try:
            assert array(data, SMALL).shape == (4, 6, 3)
        except RequestError as error:
            assert len(str(error)) < 500  # noqa: PT017 - either is fine
