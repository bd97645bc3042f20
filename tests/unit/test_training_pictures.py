"""Training sees the pixels that serving sees."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from PIL import Image

from registry.errors import DataInvalid
from serving.kinds.pictures import Picture, Wanted
from tests.servingfakes.pictures import halves, saved
from training.images import pictures
from training.images.augment import augment

RNG = np.random.default_rng(1)
NOISE = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
WANTED = Wanted(height=16, width=16, channels=3, channels_first=False, dtype="uint8")


def turned() -> bytes:
    """A picture taken with the camera held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(NOISE), "JPEG", exif=exif)


SENT = {
    "png": saved(Image.fromarray(NOISE)),
    "jpeg": saved(Image.fromarray(NOISE), "JPEG"),
    "webp": saved(Image.fromarray(NOISE), "WEBP"),
    "turned": turned(),
    "transparent": saved(Image.fromarray(NOISE).convert("RGBA")),
    "palette": saved(Image.fromarray(NOISE).convert("P")),
    "gray": saved(Image.fromarray(NOISE).convert("L")),
    "sixteen bits": saved(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257)),
    "as it is": saved(halves()),
}


@pytest.mark.parametrize("data", SENT.values(), ids=SENT.keys())
def test_the_same_bytes_are_the_same_pixels_in_training_and_in_serving(data: bytes) -> None:
    assert np.array_equal(pictures.decode(data, 16, name="x"), Picture("image", data).array(WANTED))


def test_a_request_brings_the_file_as_it_is(tmp_path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(SENT["turned"])
    text = pictures.as_text(str(path))
    assert base64.b64decode(text) == SENT["turned"]
    assert np.array_equal(pictures.from_text(text, 16), pictures.read([str(path)], 16)[0])


def test_a_request_brings_a_smaller_picture_of_a_very_large_file(tmp_path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(saved(Image.fromarray(RNG.integers(0, 256, (700, 900, 3), dtype=np.uint8))))
    sent = Picture("image", base64.b64decode(pictures.as_text(str(path))))
    assert (sent.width, sent.height) == (512, 398)


def test_a_file_that_is_gone_is_named(tmp_path) -> None:
    with pytest.raises(DataInvalid, match=r"x\.png: cannot be read: No such file"):
        pictures.read([str(tmp_path / "x.png")], 16)


def test_what_is_drawn_survives_its_file() -> None:
    assert np.array_equal(pictures.decode(pictures.encode(NOISE), 53, name="x").shape, (53, 53, 3))
    square = NOISE[:37, :37]
    assert np.array_equal(pictures.decode(pictures.encode(square), 37, name="x"), square)


def test_augmented_pictures_are_the_same_for_the_same_chance_and_hardly_ever_as_they_were() -> None:
    batch = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    before = batch.copy()
    one, again = (augment(batch, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, again)
    assert np.array_equal(batch, before)
    assert (one.shape, one.dtype) == (batch.shape, batch.dtype)
    assert not any(np.array_equal(a, b) for a, b in zip(one, batch, strict=True))


def test_augmenting_keeps_a_bright_picture_bright_and_a_dark_one_dark() -> None:
    batch = np.stack([np.full((32, 32, 3), 250, np.uint8), np.full((32, 32, 3), 5, np.uint8)])
    bright, dark = augment(batch, np.random.default_rng(4))
    assert np.median(bright) > 200
    assert dark.max() <= 6
