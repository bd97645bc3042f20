"""A workload on rows of numbers that predicts a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from training import onnx_model, plots
from training.onnx_model import TOLERANCE
from training.tabular import Proof, Tabular
from training.workload import Answer, Array, Material


class Regression(Tabular):
    """Predictions are in the unit of the target."""

    def strata(self, frame: pd.DataFrame) -> pd.Series[int] | None:  # noqa: ARG002 - the signature
        """There are no classes."""
        return None

    def say(self, model: Any, rows: pd.DataFrame) -> Answer:
        """One number a row."""
        return {"predictions": model.predict(rows).tolist()}

    def naive(self, train: pd.DataFrame) -> tuple[str, int | float]:
        """The mean of what was learnt from, always."""
        return "mean", float(train[self.recipe.target].mean())

    def report(self, model: Any, truth: Array, predicted: Array, folder: Path) -> None:  # noqa: ARG002
        """Predictions against the truth, and what is left over."""
        plots.against(truth, predicted, self.recipe.target, folder / "plots" / "predictions.png")

    def export(self, model: Any, material: Material, graph: Path) -> Proof:
        """Within 1e-5 of the value and of the target's spread; `onnx_model` says why."""
        rows = material.holdout[[*self.recipe.features]]
        spread = float(material.train[self.recipe.target].std(ddof=0))
        onnx_model.convert_regression(model, graph, features=len(self.recipe.features))
        worst = onnx_model.check_numbers(
            graph, rows.to_numpy(), predicted=model.predict(rows), spread=spread
        )
        return Proof(
            shown={"predictions_max_difference": worst, "target_std": spread},
            rtol=TOLERANCE,
            atol=TOLERANCE * spread,
        )

    def decided(self, model: Any, holdout: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG002 - as above
        """All rows."""
        return holdout

    def outputs(self, model: Any) -> list[dict[str, Any]]:  # noqa: ARG002 - the signature
        """The target, by its name."""
        return [{"name": "predictions", "type": "float", "meaning": self.recipe.target}]
