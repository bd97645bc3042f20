"""How well pictures were told apart: numbers, and what people look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from training import plots, probabilities
from training.images import show
from training.images.anatomy import CLASSES
from training.images.saliency import Predict, occlusion
from training.images.show import Shown
from training.workload import Array

_SHOWN_WRONG = 30


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Held-out pictures, uint8 [n, s, s, 3], with labels [n] and what was answered, [n, k]."""

    predict: Predict
    pictures: Array
    truth: Array
    names: Sequence[str]
    answered: Array

    @classmethod
    def of(cls, predict: Predict, pictures: Array, truth: Array, *, names: Sequence[str]) -> Self:
        """Ask `predict` ([n, s, s, 3] → [n, k]) about all of them."""
        answered = predict(pictures)
        return cls(predict=predict, pictures=pictures, truth=truth, names=names, answered=answered)

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.pictures.shape[1])

    @cached_property
    def predicted(self) -> Array:
        """Class numbers, [n]."""
        labels: Array = self.answered.argmax(axis=1)
        return labels

    def metrics(self) -> dict[str, float]:
        """AUC, expected calibration error, and the recall of each class that occurs."""
        found = dict(zip(CLASSES, probabilities.recalls(self.truth, self.answered), strict=True))
        return {
            "auc": probabilities.auc(self.truth, self.answered),
            "ece": probabilities.ece(self.truth, self.answered),
            **{f"recall_{name}": float(r) for name, r in found.items() if np.isfinite(r)},
        }

    def write(self, folder: Path, *, caveat: str) -> None:
        """Confusion matrix, wrong answers, reliability, and what right answers rest on."""
        matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
        np.add.at(matrix, (self.truth, self.predicted), 1)
        said = {"caveat": caveat} if caveat else {}
        _write(
            folder / "confusion_matrix.json",
            {"labels": [*CLASSES], "matrix": matrix.tolist(), **said},
        )
        drawn = folder / "plots"
        plots.confusion(matrix, CLASSES, drawn / "confusion_matrix.png", caveat=caveat)
        show.contact_sheet(
            [self._shown(row) for row in self._worst()],
            _titled("Answered wrongly, the surest first", caveat),
            drawn / "wrong.png",
        )
        show.reliability(
            probabilities.calibration(self.truth, self.answered),
            _titled("Reliability", caveat),
            drawn / "reliability.png",
        )
        if salient := [(self._shown(row), self._heat(row)) for row in self._surest()]:
            title = _titled("Where covering costs confidence", caveat)
            show.saliency(salient, title, drawn / "saliency.png")

    def _worst(self) -> Array:
        """The rows answered wrongly, the most confident first, not more than a sheet holds."""
        wrong = np.flatnonzero(self.predicted != self.truth)
        sure = self.answered[wrong].max(axis=1)
        return wrong[np.argsort(-sure, kind="stable")][:_SHOWN_WRONG]

    def _surest(self) -> list[int]:
        """Of each class the row that was told most surely, where one was told rightly."""
        rows = []
        for label in range(len(CLASSES)):
            right = np.flatnonzero((self.truth == label) & (self.predicted == label))
            if right.size:
                rows.append(int(right[self.answered[right, label].argmax()]))
        return rows

    def _heat(self, row: int) -> Array:
        return occlusion(self.predict, self.pictures[row], int(self.predicted[row]))

    def _shown(self, row: int) -> Shown:
        told, truth = self.predicted[row], self.truth[row]
        sure = self.answered[row, told]
        right = "" if told == truth else f"\nis {CLASSES[truth]}"
        return Shown(self.pictures[row], f"{self.names[row]}\n{CLASSES[told]} {sure:.2f}{right}")


def write_history(history: Mapping[str, Sequence[float]], folder: Path, *, caveat: str) -> None:
    """The curves as numbers and as a plot."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "history.json", history)
    show.curves(history, _titled("Learning", caveat), folder / "plots" / "learning.png")


def by_mean_colour(train: Array, labels: Array, asked: Array) -> Array:
    """Class numbers [n] of `asked` by a logistic regression on each picture's mean colour."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - slow to import
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - slow to import

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    colours = [part.mean(axis=(1, 2), dtype=np.float64) for part in (train, asked)]
    answer: Array = model.fit(colours[0], labels).predict(colours[1])
    return answer


def _titled(text: str, caveat: str) -> str:
    return f"{text} ({caveat})" if caveat else text


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
