"""Baton's own prediction routes."""

from __future__ import annotations

import re
from functools import partial

from flask import Blueprint, Response, request

from serving.protocols.baton import question
from serving.routes.parts import BATON, parts, predicted, respond

blueprint = Blueprint("predict", __name__)
_WHOLE = re.compile(r"-?\d{1,18}")


@blueprint.post("/predict")
def predict_default() -> Response:
    """Predict with the model the body names, or the only or default one."""
    return predicted(BATON)


@blueprint.post("/models/<name>/predict")
def predict_named(name: str) -> Response:
    """Predict with the model `name`."""
    return predicted(BATON, name)


@blueprint.get("/predict/<name>")
def forecast(name: str) -> Response:
    """Forecast by query string: `?days=7` or `?horizon=7`; `name` is a model's or its ticker."""
    query = {key: _value(text) for key, text in request.args.items()} or {"days": 30}
    answerer = parts().answerer
    read = partial(question, {"ticker": name, **query})
    return respond(answerer.answer_question(BATON, name, read, request.headers.get))


def _value(text: str) -> int | str:
    """A query value: a whole number where it is one, else its text, for the kind to refuse."""
    return int(text) if _WHOLE.fullmatch(text) else text
