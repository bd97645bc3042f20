"""Draws a synthetic eye as a fundus camera would show it: one function, the same for the same seed.

Tissue first (background, macula, disc, vessels, lesions), then the lens (veil and blur), then the
camera (light, haze, focus, tint, dust, noise). Everything is synthetic, not clinical.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.images.anatomy import Eye, Spot, sample
from training.images.camera import CAMERAS, Camera, Range
from training.images.vessels import Vessel, grow
from training.workload import Array

_FINER = 3  # masks are drawn so many times larger: their edges come out smooth
_TISSUE = np.array([176, 82, 40], dtype=np.float32)
_DEEP = np.array([0.55, 0.42, 0.40], dtype=np.float32)  # what vessels let through
_DISC = np.array([206, 138, 76], dtype=np.float32)
_CUP = np.array([242, 218, 180], dtype=np.float32)
_BLOOD = np.array([112, 26, 16], dtype=np.float32)
_FAT = np.array([246, 214, 120], dtype=np.float32)
_CLOUD = np.array([164, 140, 104], dtype=np.float32)


def draw(seed: tuple[int, int], label: str, *, size: int, camera: str) -> tuple[Array, Eye]:
    """A picture, uint8 [size, size, 3], and what is in it.

    `seed` is that of a data set and the number of the picture in it; `camera` is a name of CAMERAS.
    Raises KeyError for a camera that there is not.
    """
    rng = np.random.default_rng(seed)
    eye, taken = sample(rng, label), CAMERAS[camera]
    radius = size / 2 * _between(rng, taken.field)
    canvas = _Canvas(size, radius, rng)
    lit = _tissue(canvas, rng, eye)
    lit = _through_lens(canvas, lit, eye)
    return _photographed(canvas, rng, lit, taken), eye


class _Canvas:
    """Places of the field as pixels."""

    def __init__(self, size: int, radius: float, rng: np.random.Generator) -> None:
        self.size, self.radius = size, radius
        self._centre = size / 2 + rng.uniform(-0.02, 0.02, 2) * size
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) + 0.5
        self.x = (columns - self._centre[0]) / radius
        self.y = (rows - self._centre[1]) / radius
        self.distance = np.hypot(self.x, self.y)

    def near(self, spot: Spot, *, scale: float = 1.0, soft: float) -> Array:
        """1 inside a spot and 0 outside, with an edge of `soft` radii, [size, size]."""
        away = np.hypot(self.x - spot.x, self.y - spot.y) - spot.radius * scale
        inside: Array = 1 / (1 + np.exp(np.clip(away / soft, -30, 30)))
        return inside

    def dots(self, spots: Iterable[Spot]) -> Array:
        """Small spots, [size, size] from 0 to 1."""
        image, pen = self._fine()
        for spot in spots:
            x, y = self._pixel(np.array([spot.x, spot.y]))
            r = spot.radius * self.radius * _FINER
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return self._coarse(image)

    def lines(self, vessels: Iterable[Vessel]) -> Array:
        """Vessels, thinner towards their ends, [size, size] from 0 to 1."""
        image, pen = self._fine()
        for vessel in vessels:
            points = self._pixel(vessel.points)
            for n, (begin, end) in enumerate(pairwise(points)):
                taper = 1 - 0.5 * n / len(points)
                width = max(1, round(vessel.width * taper * self.radius * _FINER))
                pen.line((*begin, *end), fill=255, width=width)
        return self._coarse(image)

    def blurred(self, layer: Array, radius: float) -> Array:
        """Values from 0 to 255 behind a blur of `radius` radii of the field."""
        image = Image.fromarray(layer.clip(0, 255).astype(np.uint8))
        blur = ImageFilter.GaussianBlur(radius * self.radius)
        return np.asarray(image.filter(blur), dtype=np.float32)

    def clouds(self, rng: np.random.Generator, cells: int) -> Array:
        """Smooth noise from -1 to 1, [size, size]."""
        coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
        fine = coarse.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.asarray(fine, dtype=np.float32)

    def _pixel(self, places: Array) -> Array:
        return (places * self.radius + self._centre) * _FINER

    def _fine(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("L", (self.size * _FINER, self.size * _FINER))
        return image, ImageDraw.Draw(image)

    def _coarse(self, image: Image.Image) -> Array:
        return np.asarray(image.reduce(_FINER), dtype=np.float32) / 255


def _tissue(canvas: _Canvas, rng: np.random.Generator, eye: Eye) -> Array:
    """The retina as it is, [size, size, 3] from 0 to 255."""
    mottled = 1 + 0.10 * canvas.clouds(rng, 5) + 0.05 * canvas.clouds(rng, 24)
    picture = _TISSUE * mottled[..., None]
    dark = np.exp(-np.hypot(canvas.x - eye.macula.x, canvas.y - eye.macula.y) / eye.macula.radius)
    picture *= 1 - rng.uniform(0.3, 0.55) * dark[..., None]
    picture = _over(picture, _DISC, canvas.near(eye.disc, soft=0.012))
    pale = rng.uniform(0.7, 0.95)
    picture = _over(picture, _CUP, pale * canvas.near(eye.disc, scale=eye.cup_ratio, soft=0.012))
    vessels = canvas.lines(grow(rng, eye)) * rng.uniform(0.6, 0.95)
    picture *= 1 - vessels[..., None] * (1 - _DEEP)
    for spots, colour, strength in (
        (eye.exudates, _FAT, 0.85),
        (eye.microaneurysms, _BLOOD, 0.85),
        (eye.haemorrhages, _BLOOD, 0.80),
    ):
        picture = _over(picture, colour, strength * canvas.dots(spots))
    return picture


def _through_lens(canvas: _Canvas, picture: Array, eye: Eye) -> Array:
    """What a cloudy lens lets through."""
    if not eye.veil:
        return picture
    return _over(canvas.blurred(picture, eye.lens_blur), _CLOUD, np.float32(eye.veil))


def _photographed(
    canvas: _Canvas, rng: np.random.Generator, picture: Array, camera: Camera
) -> Array:
    """What the camera makes of it, uint8."""
    picture = _over(picture, _CLOUD, np.float32(_between(rng, camera.haze)))
    picture = canvas.blurred(picture, _between(rng, camera.defocus))
    angle = rng.uniform(0, 2 * np.pi)
    slope = canvas.x * np.cos(angle) + canvas.y * np.sin(angle)
    light = 1 + _between(rng, camera.light) * slope
    light *= 1 - _between(rng, camera.vignette) * canvas.distance**2
    gains = np.array([_between(rng, gain) for gain in camera.gains], dtype=np.float32)
    picture = 255 * (picture * light[..., None] * gains / 255).clip(0, 1) ** _between(
        rng, camera.gamma
    )
    picture = _dusty(canvas, rng, picture)
    inside = 1 / (1 + np.exp(np.clip((canvas.distance - 1) * canvas.radius / 0.5, -30, 30)))
    noise = rng.normal(0, _between(rng, camera.noise), picture.shape)
    taken: Array = (picture * inside[..., None] + noise).clip(0, 255).round().astype(np.uint8)
    return taken


def _dusty(canvas: _Canvas, rng: np.random.Generator, picture: Array) -> Array:
    """Some dark and some bright specks, which are no lesions."""
    for colour in (np.float32(40), np.float32(235)):
        specks = [
            Spot(
                x=float(rng.uniform(-0.75, 0.75)),
                y=float(rng.uniform(-0.75, 0.75)),
                radius=float(rng.uniform(0.012, 0.03)),
            )
            for _ in range(rng.integers(0, 3))
        ]
        picture = _over(picture, colour, 0.4 * canvas.dots(specks))
    return picture


def _over(picture: Array, colour: Array | np.float32, share: Array | np.float32) -> Array:
    """A layer of one colour on a picture; `share` is how much of it covers, [size, size] or one."""
    covered = np.asarray(share)[..., None]
    mixed: Array = picture * (1 - covered) + colour * covered
    return mixed


def _between(rng: np.random.Generator, limits: Range) -> float:
    return float(rng.uniform(*limits))
