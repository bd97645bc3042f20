"""What this node serves, since when, and why it is not what the ledger names."""

from __future__ import annotations

import datetime
from typing import Any

from flask import Blueprint, Response, jsonify

from registry.errors import UnknownModel
from serving.assignments import Arm, Assignment
from serving.routes.parts import failed, parts
from serving.table import Served

blueprint = Blueprint("models", __name__)


@blueprint.get("/models")
def list_models() -> Response:
    """Every model, in short."""
    served = parts().manager.models()
    return jsonify({"models": [_short(name, served[name]) for name in sorted(served)]})


@blueprint.get("/models/<name>")
def show_model(name: str) -> Response:
    """One model with its schema."""
    served = parts().manager.models()
    if name not in served:
        known = ", ".join(sorted(served)) or "none yet"
        error = UnknownModel(f"no model {name!r} is served here; there is: {known}")
        return failed(error)
    one = served[name]
    body = _short(name, one)
    if one.servable:
        signature = one.servable.signature
        body["schema"] = dict(one.servable.schema)
        body["signature"] = signature.to_json() if signature else None
    return jsonify(body)


def _short(name: str, one: Served) -> dict[str, Any]:
    held = one.held
    body: dict[str, Any] = {
        "model": name,
        "ready": one.answering is not None,
        "loaded": one.servable is not None,
        "degraded": bool(held.refused),
        "reason": held.refused or None,
        "retired": str(held.retired) if held.retired else None,
        "previous": _assignment(held.previous),
    }
    body |= _assignment(one.answering) or {}
    body["arm"] = _arm(one.answering.arm) if one.answering else None
    if one.servable:
        body |= {"kind": one.servable.kind, "engine": one.servable.engine}
    return body


def _arm(arm: Arm | None) -> dict[str, Any] | None:
    """The version beside it, in a split or a shadow."""
    if arm is None:
        return None
    return {
        "arm": arm.role.value,
        "version": str(arm.version),
        "digest": arm.digest,
        "share": arm.share,
        "sticky": arm.sticky or None,
        "until": _time(arm.until_ms),
    }


def _assignment(assignment: Assignment | None) -> dict[str, Any] | None:
    if assignment is None:
        return None
    return {
        "version": str(assignment.version),
        "seq": assignment.key.seq if assignment.in_ledger else None,
        "epoch": assignment.key.epoch if assignment.in_ledger else None,
        "digest": assignment.digest,
        "since": _time(assignment.since_ms),
    }


def _time(at_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return at.isoformat(timespec="milliseconds")
