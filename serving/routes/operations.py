"""For those who run the server: is it alive, is it ready, what does it count."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from serving import metrics
from serving.problems import RETRY_AFTER_SECONDS
from serving.routes.parts import parts

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    """This worker answers."""
    return jsonify({"status": "alive"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready once something is in Production here and this worker has loaded what can be loaded."""
    served = parts().manager.models()
    waiting = sorted(
        name
        for name, one in served.items()
        if not (one.answering or one.held.refused or one.held.retired)
    )
    if served and not waiting:
        return jsonify({"status": "ready", "models": sorted(served)})
    response = jsonify({"status": "not ready", "waiting_for": waiting or "a Production version"})
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


@blueprint.get("/metrics")
def prometheus() -> Response:
    """Metrics of all processes of this node, in Prometheus's text format."""
    content_type, text = metrics.exposition(parts().settings.metrics_dir)
    return Response(text, content_type=content_type)
