"""MLflow's scoring routes: what speaks to `mlflow models serve` can speak to this."""

from __future__ import annotations

from flask import Blueprint, Response

from serving.protocols.mlflow import VERSION, Mlflow
from serving.routes.operations import is_ready
from serving.routes.parts import predicted

blueprint = Blueprint("mlflow", __name__)
_MLFLOW = Mlflow()
_JSON = "application/json"


@blueprint.post("/invocations")
def invocations() -> Response:
    """Predict with the only or the default model."""
    return predicted(_MLFLOW)


@blueprint.get("/ping")
@blueprint.get("/health")
def ping() -> Response:
    """200 once a model answers, else 404, as MLflow's server says it."""
    return Response("\n", 200 if is_ready() else 404, content_type=_JSON)


@blueprint.get("/version")
def version() -> Response:
    """The version of MLflow whose protocol this is."""
    return Response(VERSION, content_type=_JSON)
