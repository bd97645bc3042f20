"""`python -m tests.servingfakes.keras_models URI MODEL FLAVOUR…`: register somebody's Keras model.

Run in the environment that has TensorFlow. Prints, as JSON, rows and what Keras answers to them.
"""

from __future__ import annotations

import json
import sys

import keras
import mlflow
import numpy as np
from mlflow.models import infer_signature


def network() -> keras.Model:
    """Windows of ten rows of three numbers, to two probabilities."""
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((10, 3)),
            keras.layers.LSTM(4),
            keras.layers.Lambda(lambda x: x * 2.0),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def register(uri: str, model: str, *flavours: str) -> None:
    """As `mlflow.keras` or `mlflow.tensorflow` keep it: a version of one model each."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("here")
    made = network()
    rows = np.random.default_rng(7).normal(size=(5, 10, 3)).astype(np.float32)
    said = made.predict(rows, verbose=0)
    for flavour in flavours:
        # mlflow.keras of 3.17.2 fails where it is given one.
        example = {} if flavour == "keras" else {"input_example": rows[:2]}
        with mlflow.start_run():
            logged = getattr(mlflow, flavour).log_model(
                made,
                name="model",
                signature=infer_signature(rows, said),
                pip_requirements=["keras"],
                **example,
            )
        mlflow.register_model(logged.model_uri, model)
    sys.stdout.write(json.dumps({"rows": rows.tolist(), "said": said.tolist()}))


if __name__ == "__main__":
    register(*sys.argv[1:])
