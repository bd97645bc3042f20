"""FastAPI and Prophet, as tutorials write it.

uvicorn fastapi_prophet:app --workers 2
"""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI
from prophet.serialize import model_from_json
from pydantic import BaseModel

model = model_from_json(json.loads(Path(os.environ["MODEL"]).read_text(encoding="utf-8")))
app = FastAPI()


class Dates(BaseModel):
    """The days to forecast."""

    ds: list[str]


@app.post("/predict")
def predict(dates: Dates) -> dict[str, list[dict[str, Any]]]:
    """Forecast with its band, one object a day."""
    found = model.predict(pd.DataFrame({"ds": pd.to_datetime(dates.ds)}))
    rows = found[["ds", "yhat", "yhat_lower", "yhat_upper"]].to_dict("records")
    return {"predictions": rows}
