"""The camera of a synthetic picture: what differs between pictures and tells nothing of the eye.

Tint, light, haze, focus, dust and noise come in the same ranges for every class, so that colour or
sharpness alone do not tell which it is. `OTHER` stands for another clinic's camera: a model that
learnt from `STANDARD` answers worse there, which is a drift with a known beginning.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Ranges that each picture is drawn from; lengths are in radii of the field.

    `gains` multiply red, green, blue; `haze` and `defocus` act like a mild cataract; `noise` is a
    standard deviation of values from 0 to 255; `field` is the field's radius by half the side.
    """

    gains: tuple[Range, Range, Range]
    gamma: Range
    light: Range
    vignette: Range
    haze: Range
    defocus: Range
    noise: Range
    field: Range


CAMERAS = {
    "standard_camera": Camera(
        gains=((0.88, 1.12), (0.82, 1.18), (0.75, 1.30)),
        gamma=(0.88, 1.14),
        light=(0.0, 0.28),
        vignette=(0.15, 0.5),
        haze=(0.0, 0.24),
        defocus=(0.0, 0.014),
        noise=(2.0, 6.0),
        field=(0.90, 0.97),
    ),
    "other_camera": Camera(
        gains=((0.78, 1.0), (0.88, 1.22), (0.85, 1.5)),
        gamma=(0.80, 1.02),
        light=(0.1, 0.4),
        vignette=(0.35, 0.7),
        haze=(0.05, 0.30),
        defocus=(0.004, 0.018),
        noise=(4.0, 9.0),
        field=(0.82, 0.92),
    ),
}
