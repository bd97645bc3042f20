"""Baton's own prediction routes."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from serving.routes.parts import parts, respond

blueprint = Blueprint("predict", __name__)
_WHOLE = re.compile(r"-?\d{1,18}")


@blueprint.post("/predict")
def predict_default() -> Response:
    """Predict with the model the body names, or the only or default one."""
    return _predict(None)


@blueprint.post("/models/<name>/predict")
def predict_named(name: str) -> Response:
    """Predict with the model `name`."""
    return _predict(name)


@blueprint.get("/predict/<name>")
def forecast(name: str) -> Response:
    """Forecast by query string: `?days=7` or `?horizon=7`."""
    query = {key: _value(text) for key, text in request.args.items()} or {"days": 30}
    identity = request.headers.get("X-Request-Id")
    return respond(parts().answerer.answer_object(name, query, request_id=identity))


def _predict(name: str | None) -> Response:
    body = request.get_data(cache=False)
    identity = request.headers.get("X-Request-Id")
    answerer = parts().answerer
    return respond(
        answerer.answer(name, body, request.headers.get("Content-Type"), request_id=identity)
    )


def _value(text: str) -> int | str:
    """A query value: a whole number where it is one, else its text, for the kind to refuse."""
    return int(text) if _WHOLE.fullmatch(text) else text
