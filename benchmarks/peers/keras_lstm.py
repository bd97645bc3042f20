"""Makes the LSTM of the comparison: as Keras and MLflow save it, and as ONNX. No server.

    python keras_lstm.py FOLDER

Its weights are drawn, not learnt: an answer costs the same.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import mlflow.onnx
import mlflow.tensorflow
import numpy as np
import onnx
from mlflow.models import infer_signature

WINDOW = (30, 5)
SAMPLES = 64

home = Path(sys.argv[1])
keras.utils.set_random_seed(1)
model = keras.Sequential(
    [
        keras.Input(WINDOW),
        keras.layers.LSTM(64, return_sequences=True),
        keras.layers.LSTM(64),
        keras.layers.Dense(1),
    ]
)
model.compile()
windows = np.random.default_rng(1).normal(size=(SAMPLES, *WINDOW)).astype(np.float32).round(4)
answers = model.predict(windows, verbose=0)
signature = infer_signature(windows, answers)
model.save(home / "lstm.keras")
mlflow.tensorflow.save_model(
    model, str(home / "lstm-mlflow"), signature=signature, pip_requirements=["tensorflow"]
)
model.export(str(home / "lstm.onnx"), format="onnx", verbose=False)
mlflow.onnx.save_model(
    onnx.load(home / "lstm.onnx"),
    str(home / "lstm"),
    signature=signature,
    pip_requirements=["onnx"],
    save_as_external_data=False,
)
made = {"windows": windows.tolist(), "answers": answers.tolist()}
(home / "lstm.json").write_text(json.dumps(made), encoding="utf-8")
