"""iris: a random forest on four measurements of a flower, served as ONNX.

Fitted on a stratified part of the rows, judged on the rest, and compared with always saying the
most frequent class. Precision, recall and F1 are macro averages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from registry.bundle import FOLDER, Golden
from registry.errors import StepFailed
from training import metrics, onnx_model, plots
from training.data.checks import Requirements
from training.data.dataset import Field
from training.environment import pinned
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

FEATURES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
CLASSES = ("setosa", "versicolor", "virginica")
TARGET = "target"
_LABELS = {
    spelling: number
    for number, name in enumerate(CLASSES)
    for spelling in (str(number), name, f"iris-{name}")
}
_TRUSTED = ["sklearn.tree._tree.Tree"]
_GOLDEN_ROWS = 8
_SPLIT_SEED = 42


_ABOUT = About(
    name="iris",
    experiment="iris-pipeline",
    model="iris",
    run_name="random_forest_training",
    kind="tabular",
    default_source="sample",
    series={"sample": "iris"},
    fields=(
        *(
            Field(name, "number", (name.removesuffix(" (cm)").replace(" ", "_"),))
            for name in FEATURES
        ),
        Field(TARGET, "label", ("species", "class", "variety"), _LABELS),
    ),
    parameters=(
        Parameter(name="n_estimators", default=100, minimum=1, help="Trees of the forest."),
        Parameter(name="max_depth", default=10, minimum=1, help="Deepest a tree may grow."),
        Parameter(name="random_state", default=42, minimum=0, help="Seed of the forest."),
        Parameter(
            name="test_size",
            default=0.2,
            minimum=0.05,
            maximum=0.9,
            help="Share of the rows that is held out.",
        ),
    ),
    metrics={
        "accuracy": metrics.accuracy,
        "precision": metrics.precision,
        "recall": metrics.recall,
        "f1_score": metrics.f1_score,
    },
    primary="accuracy",
    greater_is_better=True,
)


class Iris:
    """See the module's docstring."""

    about = _ABOUT

    def requirements(self, params: Values) -> Requirements:  # noqa: ARG002 - the port's signature
        """Measurements above zero, two classes at least."""
        return Requirements(min_rows=30, positive=FEATURES, min_labels=(TARGET, 2))

    def split(self, frame: pd.DataFrame, params: Values, *, seed: int) -> Split:  # noqa: ARG002
        """Shuffled, each class in the same share on both sides.

        Not by the run's seed: were the hold-out another one each time, a version would be compared
        with a Production version that has learnt from it.
        """
        from sklearn.model_selection import train_test_split  # noqa: PLC0415 - slow to import

        try:
            train, holdout = train_test_split(
                frame,
                test_size=params["test_size"],
                random_state=_SPLIT_SEED,
                stratify=frame[TARGET],
            )
        except ValueError as error:
            raise StepFailed(f"test_size {params['test_size']}: {error}") from error
        return Split(train, holdout)

    def fit(self, train: pd.DataFrame, params: Values, *, seed: int) -> Any:
        """A RandomForestClassifier."""
        from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - slow to import

        forest = RandomForestClassifier(
            n_estimators=params["n_estimators"], max_depth=params["max_depth"], random_state=seed
        )
        return forest.fit(train[[*FEATURES]], train[TARGET])

    def save(self, model: Any, folder: Path) -> None:
        """As skops writes it: nothing in it is executed on loading."""
        import skops.io  # noqa: PLC0415 - slow to import

        skops.io.dump(model, folder / "model.skops")

    def load(self, folder: Path) -> Any:
        """The reverse of `save`."""
        import skops.io  # noqa: PLC0415 - slow to import

        return skops.io.load(folder / "model.skops", trusted=_TRUSTED)

    def requests(self, holdout: pd.DataFrame) -> Sequence[Request]:
        """All rows in one `dataframe_split`."""
        return [
            {
                "dataframe_split": {
                    "columns": [*FEATURES],
                    "data": holdout[[*FEATURES]].to_numpy().tolist(),
                }
            }
        ]

    def answer(self, model: Any, requests: Sequence[Request]) -> Sequence[Answer]:
        """Labels, and the probabilities as a further output."""
        answers = []
        for request in requests:
            rows = pd.DataFrame(**request["dataframe_split"])
            answers.append(
                {
                    "predictions": model.predict(rows).tolist(),
                    "outputs": {"probabilities": model.predict_proba(rows).tolist()},
                }
            )
        return answers

    def truth(self, holdout: pd.DataFrame) -> Array:
        """Class numbers, [n]."""
        return holdout[TARGET].to_numpy()

    def predicted(self, answers: Sequence[Answer]) -> Array:
        """Class numbers, [n]."""
        return np.concatenate([np.asarray(answer["predictions"]) for answer in answers])

    def measure(self, model: Any, material: Material) -> Measured:
        """Confusion matrix, classification report, feature importance; the majority baseline."""
        from sklearn.metrics import (  # noqa: PLC0415 - slow to import
            classification_report,
            confusion_matrix,
        )

        truth = self.truth(material.holdout)
        predicted = self.predicted(self.answer(model, self.requests(material.holdout)))
        labels = [int(label) for label in model.classes_]
        names = [CLASSES[label] for label in labels]
        matrix = confusion_matrix(truth, predicted, labels=labels)
        importance = dict(zip(FEATURES, model.feature_importances_.tolist(), strict=True))
        report = classification_report(
            truth, predicted, labels=labels, target_names=names, zero_division=0
        )
        folder = material.artifacts
        _write(folder / "confusion_matrix.json", {"labels": names, "matrix": matrix.tolist()})
        _write(folder / "feature_importance.json", importance)
        (folder / "classification_report.txt").write_text(report, encoding="utf-8")
        plots.confusion(matrix, names, folder / "plots" / "confusion_matrix.png")
        plots.bars(importance, "Feature importance", folder / "plots" / "feature_importance.png")
        most = int(material.train[TARGET].mode().iloc[0])
        majority = [{"predictions": [most] * len(truth)}]
        return Measured(baselines={"majority": score(self, material.holdout, majority)})

    def package(self, model: Any, material: Material, folder: Path) -> Packaged:
        """MLflow's sklearn model, and the same as ONNX with its parity proven on the hold-out."""
        rows = material.holdout[[*FEATURES]]
        save_model(
            "sklearn",
            model,
            folder,
            run_id=material.run_id,
            example=rows.head(3).reset_index(drop=True),
            answer=model.predict(rows.head(3)),
            requirements=pinned("scikit-learn", "skops", "numpy", "pandas"),
            skops_trusted_types=_TRUSTED,
        )
        graph = folder / FOLDER / "model.onnx"
        onnx_model.convert(model, graph, features=len(FEATURES))
        worst = onnx_model.check_parity(
            graph,
            rows.to_numpy(),
            label=model.predict(rows),
            probabilities=model.predict_proba(rows),
        )
        copy = material.artifacts / "onnx_model" / "iris_random_forest.onnx"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(graph.read_bytes())
        _write(
            copy.with_name("parity.json"),
            {"rows": len(rows), "labels": "equal", "probabilities_max_difference": worst},
        )
        requests = [
            *self.requests(material.holdout.head(1)),
            *self.requests(material.holdout.head(_GOLDEN_ROWS)),
        ]
        examples = [
            {"request": asked, "response": answer}
            for asked, answer in zip(requests, self.answer(model, requests), strict=True)
        ]
        return Packaged(
            engine="onnx",
            model_file=f"{FOLDER}/model.onnx",
            schema={
                "inputs": [{"name": f, "type": "double", "required": True} for f in FEATURES],
                "outputs": [
                    {"name": "predictions", "type": "long", "meaning": dict(enumerate(CLASSES))},
                    {"name": "probabilities", "type": "float", "shape": [-1, len(model.classes_)]},
                ],
                "example": requests[0],
            },
            golden=Golden(tuple(examples), rtol=1e-5, atol=1e-5),
            feed={onnx_model.INPUT: rows.to_numpy(dtype=np.float32)},
        )


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


WORKLOAD = Iris()
