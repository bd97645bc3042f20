"""eye_disease: a small network on pictures of the back of the eye, served as ONNX.

Four classes. Without a data set of your own (`--file DIRECTORY`, a directory a class) it learns
from drawn pictures, and says so wherever a number is shown: synthetic, not clinical. Judged on a
stratified part of the pictures, and compared with the most frequent class and with a logistic
regression on the mean colour.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from registry.errors import StepFailed
from training import keras_model, metrics
from training.data.checks import Requirements
from training.data.dataset import LABEL, PICTURE, Field
from training.images import network, pictures, report
from training.images.anatomy import CLASSES
from training.images.package import package
from training.parameter import Parameter, Values
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

_SPELLINGS = {
    spelling: number
    for number, name in enumerate(CLASSES)
    for spelling in (str(number), name, name.replace("_", " "))
}
_SPLIT_SEED = 42
_VALIDATED = 0.15
_FILE, _HISTORY = "model.keras", "history.json"

_PARAMETERS = (
    Parameter(
        name="size", default=128, minimum=32, maximum=512, help="Side of what the network sees."
    ),
    Parameter(name="epochs", default=16, minimum=1, help="Most passes over the training part."),
    Parameter(name="batch_size", default=32, minimum=1, help="Pictures a step."),
    Parameter(name="learning_rate", default=0.003, minimum=1e-6, help="Of the first step."),
    Parameter(
        name="patience", default=8, minimum=1, help="Epochs without a better one before it ends."
    ),
    Parameter(
        name="test_size",
        default=0.25,
        minimum=0.05,
        maximum=0.9,
        help="Share of the pictures that is held out.",
    ),
    Parameter(
        name="images", default=2400, minimum=40, maximum=99_999, help="Drawn by source fundus."
    ),
    Parameter(name="data_seed", default=7, minimum=0, help="Which pictures source fundus draws."),
)
_ABOUT = About(
    name="eye_disease",
    experiment="eye-disease-classifier",
    model="eye-disease-model",
    run_name="cnn_training",
    kind="image",
    default_source="fundus",
    series={"fundus": "standard_camera"},
    fields=(
        Field(PICTURE, "picture"),
        Field(LABEL, "label", labels=_SPELLINGS),
    ),
    parameters=_PARAMETERS,
    metrics={"accuracy": metrics.accuracy, "f1_score": metrics.f1_score},
    primary="accuracy",
    greater_is_better=True,
    needs=("keras", "tensorflow", "tf2onnx"),
)


@dataclass(frozen=True)
class Fitted:
    """The network with what was seen while it learnt, a number an epoch."""

    network: Any
    history: dict[str, list[float]]


class EyeDisease:
    """See the module's docstring."""

    about = _ABOUT

    def requirements(self, params: Values) -> Requirements:  # noqa: ARG002 - the port's signature
        """All four classes."""
        return Requirements(min_rows=40, different=(LABEL, len(CLASSES)))

    def split(self, frame: pd.DataFrame, params: Values, *, seed: int) -> Split:  # noqa: ARG002
        """Shuffled, each class in the same share on both sides; not by the run's seed (as iris)."""
        train, holdout = _divided(frame, float(params["test_size"]), seed=_SPLIT_SEED)
        return Split(train, holdout)

    def fit(self, train: pd.DataFrame, params: Values, *, seed: int) -> Fitted:
        """The network with the lowest loss on a part of `train` that it did not learn from."""
        keras_model.seed_everything(seed)
        learnt, validated = (
            (pictures.read(part[PICTURE].tolist(), int(params["size"])), part[LABEL].to_numpy())
            for part in _divided(train, _VALIDATED, seed=seed)
        )
        schedule = network.Schedule(
            epochs=int(params["epochs"]),
            batch_size=int(params["batch_size"]),
            learning_rate=float(params["learning_rate"]),
            patience=int(params["patience"]),
        )
        made = network.build(int(params["size"]), len(CLASSES))
        return Fitted(made, network.fit(made, learnt, validated, schedule, seed=seed))

    def save(self, model: Fitted, folder: Path) -> None:
        """As Keras writes it, and the curves beside it."""
        keras_model.save(model.network, folder / _FILE)
        (folder / _HISTORY).write_text(json.dumps(model.history), encoding="utf-8")

    def load(self, folder: Path) -> Fitted:
        """The reverse of `save`."""
        history = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))
        return Fitted(keras_model.load(folder / _FILE), history)

    def requests(self, holdout: pd.DataFrame) -> Sequence[Request]:
        """One picture a request."""
        return [{"image": pictures.as_text(path)} for path in holdout[PICTURE]]

    def answer(self, model: Fitted, requests: Sequence[Request]) -> Sequence[Answer]:
        """Label, confidence and all probabilities of each request's picture."""
        told = keras_model.predict(model.network, _decoded(model, requests))
        return [{"predictions": [_told(row)]} for row in told.tolist()]

    def truth(self, holdout: pd.DataFrame) -> Array:
        """Class numbers, [n]."""
        return holdout[LABEL].to_numpy()

    def predicted(self, answers: Sequence[Answer]) -> Array:
        """Class numbers, [n]."""
        return np.array(
            [CLASSES.index(row["label"]) for answer in answers for row in answer["predictions"]]
        )

    def measure(self, model: Fitted, material: Material) -> Measured:
        """What the probabilities are worth; sheets, curves and reports; the baselines."""
        judged = report.Judged.of(
            lambda batch: keras_model.predict(model.network, batch),
            _decoded(model, self.requests(material.holdout)),
            self.truth(material.holdout),
            names=[Path(path).name for path in material.holdout[PICTURE]],
        )
        judged.write(material.artifacts, caveat=material.caveat)
        report.write_history(model.history, material.artifacts, caveat=material.caveat)
        keras_model.save(model.network, material.artifacts / _FILE)
        guesses = {
            "majority": np.full(len(judged.truth), material.train[LABEL].mode().iloc[0]),
            "mean_colour": report.by_mean_colour(
                pictures.read(material.train[PICTURE].tolist(), judged.size),
                self.truth(material.train),
                judged.pictures,
            ),
        }
        return Measured(
            metrics={**judged.metrics(), "epochs_run": float(len(model.history["loss"]))},
            baselines={
                name: score(self, material.holdout, [{"predictions": _named(labels)}])
                for name, labels in guesses.items()
            },
        )

    def package(self, model: Fitted, material: Material, folder: Path) -> Packaged:
        """MLflow's Keras model, and the same as ONNX with its parity proven on the hold-out."""
        return package(
            model.network,
            material,
            folder,
            ask=lambda requests: self.answer(model, requests),
        )


def _divided(frame: pd.DataFrame, share: float, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two parts with each class in the same share; raises StepFailed for too few of a class."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - slow to import

    try:
        large, small = train_test_split(
            frame, test_size=share, random_state=seed, stratify=frame[LABEL]
        )
    except ValueError as error:
        raise StepFailed(f"{len(frame)} pictures in parts of {share:g}: {error}") from error
    return large, small


def _decoded(model: Fitted, requests: Sequence[Request]) -> Array:
    """The pictures of some requests as the network sees them, uint8 [n, size, size, 3]."""
    size = model.network.input_shape[1]
    return np.stack([pictures.from_text(asked["image"], size) for asked in requests])


def _told(probabilities: Sequence[float]) -> dict[str, Any]:
    """One prediction as `/predict` words it."""
    named = dict(zip(CLASSES, probabilities, strict=True))
    label = max(named, key=named.__getitem__)
    return {"label": label, "confidence": named[label], "probabilities": named}


def _named(labels: Array) -> list[dict[str, str]]:
    return [{"label": CLASSES[label]} for label in labels]


WORKLOAD = EyeDisease()
