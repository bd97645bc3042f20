"""The routes of the Open Inference Protocol, version 2."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from registry.errors import BatonError
from serving.answer import require_version
from serving.manager import Manager
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
    try:
        with acquired(parts().manager, name, version) as serving:
            require_version(serving.assignment, version)
            return jsonify(metadata(name, str(serving.assignment.version), serving.servable))
    except BatonError as error:
        return failed(error, _V2)


@blueprint.get("/models/<name>/ready")
@blueprint.get("/models/<name>/versions/<version>/ready")
def model_ready(name: str, version: str | None = None) -> Response:
    """Whether it would answer; where models are loaded at their first use, this is none."""
    try:
        require_version(parts().manager.answering(name).named(version), version)
    except BatonError as error:
        return failed(error, _V2)
    return jsonify({"name": name, "ready": True})


def acquired(manager: Manager, name: str, version: str | None) -> Serving:
    """What serves, or the arm of a split if it is the version that is meant."""
    serving = manager.acquire(name)
    meant = serving.assignment.named(version)
    return (manager.beside(meant) if meant is not serving.assignment else None) or serving


@blueprint.post("/models/<name>/infer")
@blueprint.post("/models/<name>/versions/<version>/infer")
def infer(name: str, version: str | None = None) -> Response:
    """Predict with the model `name`."""
    return predicted(_V2, name, version=version)
