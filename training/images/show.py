"""Pictures for people: contact sheets, what an answer rests on, how sure it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.plots import figure
from training.workload import Array

_COLUMNS = 6
_INCHES = 1.7
_INK, _BAND, _TRUTH = "#1f5fa8", "#a9c8ea", "#222222"


@dataclass(frozen=True)
class Shown:
    """A picture, uint8 [s, s, 3], and the text above it."""

    picture: Array
    caption: str


def contact_sheet(shown: Sequence[Shown], title: str, path: Path) -> None:
    """All of them in rows of six; the sheet says so if there are none."""
    rows = max(1, -(-len(shown) // _COLUMNS))
    size = (_COLUMNS * _INCHES, rows * (_INCHES + 0.45) + 0.5)
    with figure(path, size=size, rows=rows, columns=_COLUMNS) as (whole, axes):
        whole.suptitle(title if shown else f"{title}: none")
        for panel in axes.flat:
            panel.axis("off")
        for panel, one in zip(axes.flat, shown, strict=False):
            panel.imshow(one.picture)
            panel.set_title(one.caption, fontsize=7)


def saliency(shown: Sequence[tuple[Shown, Array]], title: str, path: Path) -> None:
    """Each picture above itself with a heat [c, c] laid over: red speaks for the answer."""
    size = (len(shown) * (_INCHES + 0.4), 2 * _INCHES + 1.4)
    with figure(path, size=size, rows=2, columns=len(shown)) as (whole, axes):
        whole.suptitle(title)
        for column, (one, heat) in enumerate(shown):
            side = one.picture.shape[0]
            above, below = axes.reshape(2, -1)[:, column]
            strongest = max(float(np.abs(heat).max()), 1e-6)
            for panel in (above, below):
                panel.imshow(one.picture)
                panel.axis("off")
            below.imshow(
                heat,
                cmap="coolwarm",
                alpha=0.55,
                vmin=-strongest,
                vmax=strongest,
                extent=(0, side, side, 0),
                interpolation="bilinear",
            )
            above.set_title(one.caption, fontsize=7)


def curves(history: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Loss and accuracy of both parts, epoch by epoch; the epoch that was kept is marked."""
    with figure(path, size=(9, 3.6), columns=2) as (whole, axes):
        whole.suptitle(title)
        kept = int(np.argmin(history["val_loss"]))
        for panel, name in zip(axes, ("loss", "accuracy"), strict=True):
            epochs = range(1, len(history[name]) + 1)
            panel.plot(epochs, history[name], color=_BAND, label="learnt from")
            panel.plot(epochs, history[f"val_{name}"], color=_INK, label="validated on")
            panel.axvline(kept + 1, color=_TRUTH, linewidth=0.8, linestyle=":")
            panel.set(title=name, xlabel="epoch")
            panel.legend(loc="best", fontsize=7)


def reliability(calibration: tuple[Array, Array, Array], title: str, path: Path) -> None:
    """Accuracy by confidence (bins of `probabilities.calibration`); on the line is well said."""
    confidence, right, count = calibration
    with figure(path, size=(4.6, 4.4)) as (_, axes):
        axes.plot([0, 1], [0, 1], color=_TRUTH, linewidth=0.8)
        axes.plot(confidence, right, color=_INK)
        axes.scatter(confidence, right, s=10 + 120 * count / count.max(), color=_INK)
        axes.set(title=title, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
