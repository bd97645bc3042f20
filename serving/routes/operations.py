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
    if is_ready():
        return jsonify({"status": "ready", "models": sorted(parts().manager.models())})
    waiting = _waiting() or "a Production version"
    if parts().stopping.is_set():
        waiting = "the end: this server stops"
    response = jsonify({"status": "not ready", "waiting_for": waiting})
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


@blueprint.get("/metrics")
def prometheus() -> Response:
    """Metrics of all processes of this node, in Prometheus's text format."""
    content_type, text = metrics.exposition(parts().settings.metrics_dir)
    return Response(text, content_type=content_type)


def is_ready() -> bool:
    """Whether something is in Production here, all that can be loaded is, and it goes on."""
    if parts().stopping.is_set():
        return False
    return bool(parts().manager.models()) and not _waiting()


def _waiting() -> list[str]:
    """The models that have yet to be loaded."""
    return sorted(
        name
        for name, one in parts().manager.models().items()
        if not (one.answering or one.held.refused or one.held.retired)
    )
