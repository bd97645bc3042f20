"""Feedback over HTTP: what came true, one piece or a list. It waits for its own database only."""

from __future__ import annotations

import time

import orjson
from flask import Blueprint, Response, request

from registry.errors import RequestTooLarge
from registry.feedback import Receiver
from serving import metrics
from serving.keys import Scope
from serving.routes.parts import guarded, json_body, parts
from serving.strict_json import load_objects

blueprint = Blueprint("feedback", __name__)


@blueprint.post("/feedback")
def tell() -> Response:
    """Say what came true."""
    return guarded(_told)


def _told() -> Response:
    held = parts()
    key = held.access.admit(request.headers.get, Scope.PREDICT)
    pieces = load_objects(json_body())
    if len(pieces) > (most := held.settings.max_rows):
        raise RequestTooLarge(f"body: {len(pieces)} pieces of feedback, at most {most} at once")
    with held.feedback.asked() as outcomes:
        receiver = Receiver(outcomes=outcomes, series_of=_series_of, now=time.time)
        received = receiver.receive(pieces, by=key.id if key else "")
    for fate, count in received.counts.items():
        metrics.FEEDBACK.labels(fate.value).inc(count)
    metrics.LATE_FEEDBACK.inc(received.late)
    return Response(orjson.dumps(received.to_json()), content_type="application/json")


def _series_of(model: str) -> str:
    """What a model that is served here forecasts; its own name where that is not known."""
    return parts().manager.ticker(model) or model
