"""A workload on rows of numbers that predicts a class: labels, and probabilities beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from registry.errors import StepFailed
from training import onnx_model, plots
from training.onnx_model import TOLERANCE
from training.tabular import Proof, Tabular, write
from training.workload import Answer, Array, Material


class Classification(Tabular):
    """Classes are numbers from 0 on; the recipe says what each is called."""

    def strata(self, frame: pd.DataFrame) -> pd.Series[int] | None:
        """The class numbers."""
        classes: pd.Series[int] = frame[self.recipe.target]
        return classes

    def say(self, model: Any, rows: pd.DataFrame) -> Answer:
        """Labels, and the probabilities as a further output."""
        return {
            "predictions": model.predict(rows).tolist(),
            "outputs": {"probabilities": model.predict_proba(rows).tolist()},
        }

    def naive(self, train: pd.DataFrame) -> tuple[str, int | float]:
        """The most frequent class, always."""
        return "majority", int(train[self.recipe.target].mode().iloc[0])

    def report(self, model: Any, truth: Array, predicted: Array, folder: Path) -> None:
        """Confusion matrix and classification report."""
        from sklearn.metrics import (  # noqa: PLC0415 - slow to import
            classification_report,
            confusion_matrix,
        )

        labels = [int(label) for label in model.classes_]
        names = [self.recipe.classes[label] for label in labels]
        matrix = confusion_matrix(truth, predicted, labels=labels)
        report = classification_report(
            truth, predicted, labels=labels, target_names=names, zero_division=0
        )
        write(folder / "confusion_matrix.json", {"labels": names, "matrix": matrix.tolist()})
        (folder / "classification_report.txt").write_text(report, encoding="utf-8")
        plots.confusion(matrix, names, folder / "plots" / "confusion_matrix.png")

    def export(self, model: Any, material: Material, graph: Path) -> Proof:
        """Equal labels but in ties, probabilities within 1e-5."""
        rows = material.holdout[[*self.recipe.features]]
        probabilities = model.predict_proba(rows)
        onnx_model.convert(model, graph, features=len(self.recipe.features))
        worst = onnx_model.check_parity(
            graph,
            rows.to_numpy(),
            label=model.predict(rows),
            probabilities=probabilities,
        )
        return Proof(
            shown={
                "labels": "equal but in ties",
                "ties": int(onnx_model.tied(probabilities).sum()),
                "probabilities_max_difference": worst,
            },
            rtol=TOLERANCE,
            atol=TOLERANCE,
        )

    def decided(self, model: Any, holdout: pd.DataFrame) -> pd.DataFrame:
        """The rows that are no ties; raises StepFailed if there is none."""
        ties = onnx_model.tied(model.predict_proba(holdout[[*self.recipe.features]]))
        if ties.all():
            raise StepFailed(
                "every held-out row is a tie: the model finds two classes equally probable for each"
            )
        return holdout[~ties]

    def outputs(self, model: Any) -> list[dict[str, Any]]:
        """Which class a number means, and how many probabilities there are."""
        meaning = dict(enumerate(self.recipe.classes))
        return [
            {"name": "predictions", "type": "long", "meaning": meaning},
            {"name": "probabilities", "type": "float", "shape": [-1, len(model.classes_)]},
        ]
