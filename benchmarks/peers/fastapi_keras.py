"""FastAPI and Keras, as tutorials write it.

uvicorn fastapi_keras:app --workers 2
"""

import os

import keras
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

model = keras.models.load_model(os.environ["MODEL"])
app = FastAPI()


class Windows(BaseModel):
    """Windows of 30 × 5."""

    instances: list[list[list[float]]]


@app.post("/predict")
def predict(windows: Windows) -> dict[str, list[list[float]]]:
    """On a thread, as FastAPI runs what is not a coroutine."""
    rows = np.array(windows.instances, dtype=np.float32)
    return {"predictions": model.predict(rows, verbose=0).tolist()}
