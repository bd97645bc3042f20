"""Synthetic fundus pictures, drawn when they are asked for: synthetic, not clinical.

No labelled photographs of eyes can be shipped. These are drawn by `training/images/retina.py`, the
same ones for the same seed, and everything made from them says what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from registry.errors import UnknownName
from training.data.dataset import LABEL, PICTURE, Dataset, Field, select
from training.images.anatomy import CLASSES
from training.images.camera import CAMERAS
from training.images.pictures import encode
from training.images.retina import draw

CAVEAT = "synthetic, not clinical"


@dataclass(frozen=True, kw_only=True)
class Fundus:
    """`images` pictures of `size` pixels a side, as many of each class, written into `folder`.

    A series is a camera: the same eyes, photographed otherwise.
    """

    folder: Path
    images: int
    size: int
    seed: int
    name: str = "fundus"

    def check(self, series: str) -> None:
        """Raise UnknownName listing the cameras."""
        if series not in CAMERAS:
            raise UnknownName("camera of the source fundus", series, CAMERAS)

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Draw all pictures."""
        self.check(series)
        self.folder.mkdir(parents=True, exist_ok=True)
        labels = [CLASSES[number % len(CLASSES)] for number in range(self.images)]
        frame = pd.DataFrame(
            {
                PICTURE: [self._write(n, label, series) for n, label in enumerate(labels, 1)],
                LABEL: labels,
            },
            index=pd.RangeIndex(1, self.images + 1),
        )
        return Dataset(
            frame=select(frame, fields, origin="source fundus"),
            name=f"fundus {series} ({CAVEAT})",
            source=self.name,
            credit=f"drawn by Baton: {CAVEAT}",
            origin=f"drawn fundus pictures, {series}, seed {self.seed}: {CAVEAT}",
            caveat=CAVEAT,
        )

    def _write(self, number: int, label: str, camera: str) -> str:
        """One picture's file."""
        picture, _ = draw((self.seed, number), label, size=self.size, camera=camera)
        path = self.folder / f"{number:05}.png"
        path.write_bytes(encode(picture))
        return str(path.resolve())
