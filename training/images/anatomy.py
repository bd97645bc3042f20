"""What is in a synthetic eye: the ground truth of a picture, before any camera saw it.

All lengths are in radii of the field that the camera shows, from its centre, y downwards. Lesions
are drawn from overlapping ranges: an early glaucoma's cup is no larger than some healthy ones, and
a clear cataract is no hazier than some healthy pictures, so that no classifier can be right always.
Synthetic, not clinical: the shapes follow textbooks, the numbers no patient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CLASSES = ("cataract", "diabetic_retinopathy", "glaucoma", "normal")
_GRADES = (0.4, 0.35, 0.25)  # of 1, 2, 3 among the ill


@dataclass(frozen=True)
class Spot:
    """Something round: its place and radius."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True, kw_only=True)
class Eye:
    """One eye. `temporal` is the side of the macula seen from the disc: 1 right, -1 left.

    `cup_ratio` is the cup's radius by the disc's; `grade` is 0 for a healthy eye, else 1 to 3;
    `veil` is the share of a picture's contrast that a cloudy lens takes, `lens_blur` the radius of
    its blur.
    """

    label: str
    grade: int
    temporal: int
    disc: Spot
    cup_ratio: float
    macula: Spot
    microaneurysms: tuple[Spot, ...] = ()
    haemorrhages: tuple[Spot, ...] = ()
    exudates: tuple[Spot, ...] = ()
    veil: float = 0.0
    lens_blur: float = 0.0


def sample(rng: np.random.Generator, label: str) -> Eye:
    """An eye with the findings of `label`, everything else as in any eye."""
    grade = 0 if label == "normal" else int(rng.choice((1, 2, 3), p=_GRADES))
    temporal = int(rng.choice((-1, 1)))
    disc = Spot(
        x=-temporal * rng.uniform(0.34, 0.52),
        y=rng.uniform(-0.12, 0.12),
        radius=rng.uniform(0.15, 0.19),
    )
    macula = Spot(
        x=disc.x + temporal * rng.uniform(0.68, 0.82),
        y=disc.y + rng.uniform(0.0, 0.12),
        radius=rng.uniform(0.15, 0.24),
    )
    lesions = _lesions(rng, grade, disc) if label == "diabetic_retinopathy" else {}
    cloudy = label == "cataract"
    return Eye(
        label=label,
        grade=grade,
        temporal=temporal,
        disc=disc,
        cup_ratio=_cup_ratio(rng, grade if label == "glaucoma" else 0),
        macula=macula,
        veil=float(rng.uniform(0.14, 0.30) + 0.14 * grade) if cloudy else 0.0,
        lens_blur=float(rng.uniform(0.006, 0.014) + 0.007 * grade) if cloudy else 0.0,
        **lesions,
    )


def _cup_ratio(rng: np.random.Generator, grade: int) -> float:
    """About 0.38 in a healthy eye; from 0.60 on in glaucoma."""
    mean, spread = (0.38, 0.09) if grade == 0 else (0.50 + 0.10 * grade, 0.07)
    return float(np.clip(rng.normal(mean, spread), 0.15, 0.92))


def _lesions(rng: np.random.Generator, grade: int, disc: Spot) -> dict[str, tuple[Spot, ...]]:
    """More and other ones with each grade; the first has microaneurysms only."""
    dots = int(rng.integers(5, 11)) + 6 * (grade - 1)
    blots = int(rng.integers(2, 6)) * (grade - 1)
    bright = int(rng.integers(0, 9)) * (grade - 1)
    return {
        "microaneurysms": tuple(_spot(rng, disc, 0.017, 0.030) for _ in range(dots)),
        "haemorrhages": tuple(_spot(rng, disc, 0.03, 0.065) for _ in range(blots)),
        "exudates": _cluster(rng, bright, disc),
    }


def _spot(rng: np.random.Generator, disc: Spot, smallest: float, largest: float) -> Spot:
    """Anywhere in the field but on the disc."""
    while True:
        angle, distance = rng.uniform(0, 2 * math.pi), 0.85 * math.sqrt(rng.uniform())
        x, y = distance * math.cos(angle), distance * math.sin(angle)
        if math.hypot(x - disc.x, y - disc.y) > 1.3 * disc.radius:
            return Spot(x, y, float(rng.uniform(smallest, largest)))


def _cluster(rng: np.random.Generator, count: int, disc: Spot) -> tuple[Spot, ...]:
    """Exudates stand together around one place."""
    centre = _spot(rng, disc, 0.1, 0.2)
    return tuple(
        Spot(
            centre.x + float(rng.normal(0, centre.radius)),
            centre.y + float(rng.normal(0, centre.radius)),
            float(rng.uniform(0.012, 0.03)),
        )
        for _ in range(count)
    )
