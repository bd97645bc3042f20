"""Pictures for the run: drawn off screen, closed again, written as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training.workload import Array

_INK, _BAND, _TRUTH = "#1f5fa8", "#a9c8ea", "#222222"
_BINS = 15


@contextmanager
def figure(
    path: Path, *, size: tuple[float, float], rows: int = 1, columns: int = 1
) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, saved to `path`; no global state of matplotlib is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    drawn = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(drawn)
    yield drawn, drawn.subplots(rows, columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=110)


def confusion(matrix: Array, names: Sequence[str], path: Path, *, caveat: str = "") -> None:
    """A confusion matrix [k, k], truth by row; a caveat stands in its title."""
    with figure(path, size=(5, 4.4)) as (whole, axes):
        image = axes.imshow(matrix, cmap="Blues")
        whole.colorbar(image, ax=axes, shrink=0.8)
        axes.set(
            xticks=range(len(names)),
            yticks=range(len(names)),
            xticklabels=names,
            yticklabels=names,
            xlabel="predicted",
            ylabel="true",
            title=f"Confusion matrix ({caveat})" if caveat else "Confusion matrix",
        )
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if count > matrix.max() / 2 else "black"
            axes.text(column, row, int(count), ha="center", va="center", color=colour)


def search(values: Mapping[int, float], objective: str, path: Path) -> None:
    """The value of each trial, by its number."""
    with figure(path, size=(7, 3.6)) as (_, axes):
        axes.plot([*values], [*values.values()], "o", color=_INK, markersize=4)
        axes.set(xlabel="trial", ylabel=objective, title="Every trial of the search")


def bars(values: Mapping[str, float], title: str, path: Path) -> None:
    """Horizontal bars, the longest on top."""
    ordered = sorted(values.items(), key=lambda item: item[1])
    with figure(path, size=(6, 0.5 * len(ordered) + 1.2)) as (_, axes):
        axes.barh([name for name, _ in ordered], [value for _, value in ordered], color=_INK)
        axes.set(title=title)


def counts(values: Mapping[str, int], title: str, path: Path) -> None:
    """Upright bars, in their order."""
    with figure(path, size=(6, 3.2)) as (_, axes):
        axes.bar([*values], [*values.values()], color=_INK)
        axes.set(title=title)


def against(truth: Array, predicted: Array, name: str, path: Path) -> None:
    """Predictions [n] over the truth [n], with the line where both are equal; the errors beside."""
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    with figure(path, size=(10, 4.4), columns=2) as (_, (both, spread)):
        both.plot(ends, ends, color=_TRUTH, linewidth=0.8)
        both.plot(truth, predicted, "o", color=_INK, markersize=3)
        both.set(xlabel=f"true {name}", ylabel="predicted", title="Predictions on the hold-out")
        spread.hist(truth - predicted, bins=_BINS, color=_INK)
        spread.set(xlabel="true − predicted", title="Their errors")


def forecast(
    history: pd.DataFrame, holdout: pd.DataFrame, predicted: pd.DataFrame, title: str, path: Path
) -> None:
    """The end of the history (`ds`, `y`), the hold-out, and the forecast with its band."""
    with figure(path, size=(10, 4.6)) as (_, axes):
        axes.plot(history["ds"], history["y"], color=_TRUTH, linewidth=1, label="history")
        axes.fill_between(
            predicted["ds"],
            predicted["yhat_lower"],
            predicted["yhat_upper"],
            color=_BAND,
            alpha=0.6,
            label="band",
        )
        axes.plot(predicted["ds"], predicted["yhat"], color=_INK, label="forecast")
        axes.plot(holdout["ds"], holdout["y"], "o", color=_TRUTH, markersize=3, label="came true")
        axes.set(title=title)
        axes.legend(loc="best")


def lines(values: Mapping[str, Sequence[float] | Array], title: str, path: Path) -> None:
    """One line a name, over 1, 2, 3 …"""
    with figure(path, size=(8, 4)) as (_, axes):
        for name, each in values.items():
            axes.plot(range(1, len(each) + 1), each, label=name)
        axes.set(title=title)
        axes.grid(alpha=0.3)
        axes.legend(loc="best")


def components(parts: Mapping[str, pd.DataFrame], path: Path) -> None:
    """One panel a component: a frame with `x` and `y`."""
    with figure(path, size=(9, 2.4 * len(parts)), rows=len(parts)) as (_, axes):
        for panel, (name, part) in zip(np.atleast_1d(axes), parts.items(), strict=True):
            panel.plot(part["x"], part["y"], color=_INK)
            panel.set(title=name)
            panel.grid(alpha=0.3)


def residuals(dates: Sequence[Any], errors: Array, path: Path) -> None:
    """What came true minus what was forecast: over time, and how often how much."""
    with figure(path, size=(10, 4), columns=2) as (_, (over_time, spread)):
        over_time.axhline(0, color=_TRUTH, linewidth=0.8)
        over_time.plot(dates, errors, "o-", color=_INK, markersize=3)
        over_time.tick_params(axis="x", rotation=30)
        over_time.set(title="Residuals on the hold-out")
        spread.hist(errors, bins=min(_BINS, max(3, len(errors) // 2)), color=_INK)
        spread.set(title="Their distribution")
