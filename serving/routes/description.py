"""What can be asked here, for machines and for people."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from flask import Blueprint, Response, abort, jsonify, request

from serving.kinds import Limits
from serving.openapi import document
from serving.routes.parts import parts

blueprint = Blueprint("description", __name__)
# Swagger UI as a package brings it; nothing is fetched from anywhere else.
_ASSETS: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document of the models that are loaded at this moment."""
    held = parts()
    served = held.manager.models().items()
    return jsonify(
        document(
            {name: one.servable for name, one in served if one.servable},
            limits=Limits.of(held.settings),
            default=held.answerer.presumed,
            closed=not held.access.is_open,
            prefix=request.root_path,
        )
    )


@blueprint.get("/docs")
def docs() -> Response:
    """The page that shows it."""
    page = files("serving.routes").joinpath("docs.html").read_bytes()
    return Response(page, mimetype="text/html")


@blueprint.get("/docs/<asset>")
def docs_asset(asset: str) -> Response:
    """What that page needs."""
    if asset not in _ASSETS:
        abort(404)
    found = files("flask_swagger_ui").joinpath("dist", asset).read_bytes()
    return Response(found, mimetype=_ASSETS[asset])
