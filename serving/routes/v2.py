"""The routes of the Open Inference Protocol, version 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify

from registry.errors import BatonError
from serving.answer import require_version
from serving.protocols.v2 import V2, metadata
from serving.routes.operations import is_ready
from serving.routes.parts import failed, parts, predicted
from serving.table import Serving

blueprint = Blueprint("v2", __name__, url_prefix="/v2")
_V2 = V2()


@blueprint.get("")
def server() -> Response:
    """This server, and what it can beyond the protocol."""
    return jsonify({"name": "baton", "version": "2", "extensions": ["binary_tensor_data"]})


@blueprint.get("/health/live")
def live() -> Response:
    """This worker answers."""
    return jsonify({"live": True})


@blueprint.get("/health/ready")
def ready() -> Response:
    """Every model that should serve here is loaded."""
    is_now = is_ready()
    response = jsonify({"ready": is_now})
    response.status_code = 200 if is_now else 503
    return response


@blueprint.get("/models/<name>")
@blueprint.get("/models/<name>/versions/<version>")
def model(name: str, version: str | None = None) -> Response:
    """A model's tensors."""
    return _of(name, version, lambda it: metadata(name, str(it.assignment.version), it.servable))


@blueprint.get("/models/<name>/ready")
@blueprint.get("/models/<name>/versions/<version>/ready")
def model_ready(name: str, version: str | None = None) -> Response:
    """Whether it would answer."""
    return _of(name, version, lambda _: {"name": name, "ready": True})


@blueprint.post("/models/<name>/infer")
@blueprint.post("/models/<name>/versions/<version>/infer")
def infer(name: str, version: str | None = None) -> Response:
    """Predict with the model `name`."""
    return predicted(_V2, name, version=version)


def _of(name: str, version: str | None, tell: Callable[[Serving], dict[str, Any]]) -> Response:
    """What `tell` says of what would answer, which must be `version` if one is named."""
    try:
        with parts().manager.acquire(name) as serving:
            require_version(serving.assignment, version)
            return jsonify(tell(serving))
    except BatonError as error:
        return failed(error, _V2)
