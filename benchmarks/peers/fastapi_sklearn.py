"""FastAPI and scikit-learn, as tutorials write it.

uvicorn fastapi_sklearn:app --workers 2
"""

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["MODEL"])
app = FastAPI()


class Rows(BaseModel):
    """Rows of four measurements."""

    instances: list[list[float]]


@app.post("/predict")
def predict(rows: Rows) -> dict[str, list[int]]:
    """On a thread, as FastAPI runs what is not a coroutine."""
    return {"predictions": model.predict(rows.instances).tolist()}
