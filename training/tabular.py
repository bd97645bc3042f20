"""What every workload on rows of numbers has in common: one estimator, served as ONNX.

A `Recipe` says what is particular; `classification.py` and `regression.py` complete the hooks for
what is predicted. Used by the workload `iris` and by each configuration (`workloads/tabular.py`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from registry.bundle import FOLDER, Golden
from registry.errors import StepFailed
from training import onnx_model, plots
from training.cross_validation import cross_validate, folds
from training.data.checks import Requirements
from training.environment import pinned
from training.estimators import Estimator
from training.parameter import Parameter, Values
from training.tracking import save_model
from training.workload import (
    About,
    Answer,
    Array,
    Material,
    Measured,
    Packaged,
    Request,
    Split,
    score,
)

TEST_SIZE = Parameter(
    name="test_size",
    default=0.2,
    minimum=0.05,
    maximum=0.9,
    help="Share of the rows that is held out.",
)
RANDOM_STATE = Parameter(
    name="random_state",
    default=42,
    minimum=0,
    maximum=2**32 - 1,
    help="Seed of the estimator; the rows that are held out do not depend on it.",
)
_MIN_ROWS = 30
_SPLIT_SEED = 42
_GOLDEN_ROWS = 8
_ROWS_A_REQUEST = 1000
_SHOWN_COLUMNS = 20


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What makes one such workload another one.

    `classes` are the names of the classes by number, or empty where a number is predicted.
    `positive` names columns that must be above zero. The graph is shown as
    `onnx_model/<export>.onnx`, and `source`, if there is one, as `configuration.json`.
    """

    about: About
    estimator: Estimator
    features: tuple[str, ...]
    target: str
    export: str
    classes: tuple[str, ...] = ()
    scale: bool = False
    positive: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """That a graph agrees with its model: what is shown of it, and how far its answers may be."""

    shown: Mapping[str, Any]
    rtol: float
    atol: float


class Tabular(ABC):
    """The hooks that do not depend on what is predicted. See the module's docstring."""

    def __init__(self, recipe: Recipe) -> None:
        """Remember what it is made of."""
        self.recipe = recipe
        self.about = recipe.about

    def requirements(self, params: Values) -> Requirements:
        """Columns above zero where the recipe says so; every class, or two different numbers."""
        folds(params)
        return Requirements(
            min_rows=_MIN_ROWS,
            positive=self.recipe.positive,
            different=(self.recipe.target, max(2, len(self.recipe.classes))),
        )

    def split(self, frame: pd.DataFrame, params: Values, *, seed: int) -> Split:  # noqa: ARG002
        """Shuffled; each class in the same share on both sides.

        Not by the run's seed: were the hold-out another one each time, a version would be compared
        with a Production version that has learnt from it.
        """
        from sklearn.model_selection import train_test_split  # noqa: PLC0415 - slow to import

        try:
            train, holdout = train_test_split(
                frame,
                test_size=params[TEST_SIZE.name],
                random_state=_SPLIT_SEED,
                stratify=self.strata(frame),
            )
        except ValueError as error:
            raise StepFailed(f"{TEST_SIZE.name} {params[TEST_SIZE.name]}: {error}") from error
        return Split(train, holdout)

    def fit(self, train: pd.DataFrame, params: Values, *, seed: int) -> Any:
        """The recipe's estimator."""
        model = self.recipe.estimator.make(params, seed=seed, scale=self.recipe.scale)
        return model.fit(self._rows(train), train[self.recipe.target])

    def save(self, model: Any, folder: Path) -> None:
        """As skops writes it: nothing in it is executed on loading."""
        import skops.io  # noqa: PLC0415 - slow to import

        skops.io.dump(model, folder / "model.skops")

    def load(self, folder: Path) -> Any:
        """The reverse of `save`."""
        import skops.io  # noqa: PLC0415 - slow to import

        return skops.io.load(folder / "model.skops", trusted=[*self.recipe.estimator.trusted])

    def requests(self, holdout: pd.DataFrame) -> Sequence[Request]:
        """All rows as `dataframe_split`, no more in a request than a server takes."""
        rows = self._rows(holdout)
        return [
            {
                "dataframe_split": {
                    "columns": [*self.recipe.features],
                    "data": rows.iloc[start : start + _ROWS_A_REQUEST].to_numpy().tolist(),
                }
            }
            for start in range(0, len(rows), _ROWS_A_REQUEST)
        ]

    def answer(self, model: Any, requests: Sequence[Request]) -> Sequence[Answer]:
        """What scikit-learn says."""
        return [self.say(model, pd.DataFrame(**asked["dataframe_split"])) for asked in requests]

    def truth(self, holdout: pd.DataFrame) -> Array:
        """Class numbers or values, [n]."""
        return holdout[self.recipe.target].to_numpy()

    def predicted(self, answers: Sequence[Answer]) -> Array:
        """Class numbers or values, [n]."""
        return np.concatenate([np.asarray(answer["predictions"]) for answer in answers])

    def measure(self, model: Any, material: Material) -> Measured:
        """Reports, feature importance, the naive baseline, and the cross-validation."""
        holdout, train, folder = material.holdout, material.train, material.artifacts
        predicted = self.predicted(self.answer(model, self.requests(holdout)))
        self.report(model, self.truth(holdout), predicted, folder)
        self._importance(model, folder)
        if self.recipe.source:
            write(folder / "configuration.json", self.recipe.source)
        name, guess = self.naive(train)
        guesses = [{"predictions": [guess] * len(holdout)}]
        return Measured(
            metrics=self.validated(train, material.params, seed=material.seed),
            baselines={name: score(self, holdout, guesses)},
        )

    @property
    def objective(self) -> str:
        """The mean of the primary metric over the folds."""
        return f"cv_{self.about.primary}_mean"

    def validated(self, train: pd.DataFrame, params: Values, *, seed: int) -> Mapping[str, float]:
        """A cross-validation, each class in its share in every fold."""
        return cross_validate(self, train, params, seed=seed, classes=self.strata(train))

    def package(self, model: Any, material: Material, folder: Path) -> Packaged:
        """MLflow's sklearn model, and the same as ONNX with its parity proven on the hold-out."""
        recipe, rows = self.recipe, self._rows(material.holdout)
        save_model(
            "sklearn",
            model,
            folder,
            run_id=material.run_id,
            example=rows.head(3).reset_index(drop=True),
            answer=model.predict(rows.head(3)),
            requirements=pinned("scikit-learn", "skops", "numpy", "pandas"),
            skops_trusted_types=[*recipe.estimator.trusted],
        )
        graph = folder / FOLDER / "model.onnx"
        proof = self.export(model, material, graph)
        copy = material.artifacts / "onnx_model" / f"{recipe.export}.onnx"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(graph.read_bytes())
        write(copy.with_name("parity.json"), {"rows": len(rows), **proof.shown})
        golden = self.decided(model, material.holdout).head(_GOLDEN_ROWS)
        requests = [*self.requests(golden.head(1)), *self.requests(golden)]
        examples = [
            {"request": asked, "response": answer}
            for asked, answer in zip(requests, self.answer(model, requests), strict=True)
        ]
        return Packaged(
            engine="onnx",
            model_file=f"{FOLDER}/model.onnx",
            schema={
                "inputs": [
                    {"name": f, "type": "double", "required": True} for f in recipe.features
                ],
                "outputs": self.outputs(model),
                # The gate `signature` refuses a version that has lost one of them.
                **({"labels": [*recipe.classes]} if recipe.classes else {}),
                "example": requests[0],
            },
            golden=Golden(tuple(examples), rtol=proof.rtol, atol=proof.atol),
            feed={onnx_model.INPUT: rows.to_numpy(dtype=np.float32)},
        )

    @abstractmethod
    def strata(self, frame: pd.DataFrame) -> pd.Series[int] | None:
        """The class of each row, where there are classes."""

    @abstractmethod
    def say(self, model: Any, rows: pd.DataFrame) -> Answer:
        """The model's answer to some rows, in the form of `/predict`."""

    @abstractmethod
    def naive(self, train: pd.DataFrame) -> tuple[str, int | float]:
        """Name and value of the best guess that looks at no column."""

    @abstractmethod
    def report(self, model: Any, truth: Array, predicted: Array, folder: Path) -> None:
        """Write what there is to see of the predictions into `folder`."""

    @abstractmethod
    def export(self, model: Any, material: Material, graph: Path) -> Proof:
        """Write the graph; raises StepFailed unless it agrees with the model on the hold-out."""

    @abstractmethod
    def decided(self, model: Any, holdout: pd.DataFrame) -> pd.DataFrame:
        """The rows whose answer no rounding can change: what golden examples are made of."""

    @abstractmethod
    def outputs(self, model: Any) -> list[dict[str, Any]]:
        """What the served version answers, for people."""

    def _rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns that are learnt from, in their order."""
        return frame[[*self.recipe.features]]

    def _importance(self, model: Any, folder: Path) -> None:
        """How much each column matters, where the estimator can tell; the plot shows the first."""
        last = model[-1] if self.recipe.scale else model
        found = getattr(last, "feature_importances_", None)
        if found is None:
            return
        named = dict(zip(self.recipe.features, found.tolist(), strict=True))
        write(folder / "feature_importance.json", named)
        most = sorted(named, key=lambda name: -named[name])[:_SHOWN_COLUMNS]
        shown = {name: named[name] for name in most}
        plots.bars(shown, "Feature importance", folder / "plots" / "feature_importance.png")


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object that people read."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
