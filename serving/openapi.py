"""The description of this server in OpenAPI 3.1: of the models that serve at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from serving.feedback_schemas import feedback_paths
from serving.job_schemas import JOB, job_paths
from serving.kinds import Limits
from serving.problems import CONTENT_TYPE
from serving.protocols.baton import PICTURE_FIELDS, PICTURES
from serving.protocols.multipart import MEDIA_TYPE
from serving.request_schema import FILE, Schema, form_schema, request_schema
from serving.servable import Servable

_JSON: Final = "application/json"
_NUMBER: Final = {"type": "string", "pattern": "^[0-9]+$"}
_HEADERS: Final = {
    "X-Model-Name": {"schema": {"type": "string"}},
    "X-Model-Version": {"schema": _NUMBER},
    "X-Model-Seq": {"schema": _NUMBER, "description": "the ledger entry that answered"},
    "X-Model-Arm": {"schema": {"enum": ["serve", "split"]}, "description": "only in a split"},
    "X-Request-Id": {"schema": {"type": "string"}},
}
_PROBLEM: Final[Schema] = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "field": {"type": "string"},
        "expected": {"type": "string"},
        "got": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}
_ANSWER: Final[Schema] = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "prediction_id": {"type": "string", "format": "uuid"},
        "predictions": {"type": "array"},
        "outputs": {"type": "object"},
    },
    "required": ["model", "version", "prediction_id", "predictions"],
}
_AN_ANSWER: Final = {"$ref": "#/components/schemas/Answer"}
_V2_TENSOR: Final[Schema] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {
            "enum": [
                *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32"),
                *("INT64", "FP16", "FP32", "FP64", "BYTES"),
            ]
        },
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape"],
}
_V2: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": _V2_TENSOR},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_MISTAKES: Final = {
    "400": "not JSON, or not one of the forms",
    "401": "no API key, or none of this server",
    "403": "the key may not do this",
    "404": "no such model serves here",
    "413": "too large",
    "415": "another content type",
    "422": "against the model's signature",
    "429": "more often than the key may",
    "503": "not loaded yet, or too much to do",
}


def document(
    models: Mapping[str, Servable], *, limits: Limits, default: str, closed: bool, prefix: str = ""
) -> dict[str, Any]:
    """The OpenAPI document; `closed` if an API key is needed, `prefix` is a proxy's before ours."""
    bodies = {name: _body(servable, limits) for name, servable in sorted(models.items())}
    paths: dict[str, Any] = {}
    for name, schema in bodies.items():
        at = quote(name, safe="")
        paths[f"/models/{at}/predict"] = {
            "post": _predict(
                f"Predict with {name}",
                schema,
                _example(models[name]),
                others=_others(models[name], limits),
            )
        }
        paths[f"/v2/models/{at}/infer"] = {"post": _infer(name)}
        paths[f"/v2/models/{at}"] = _get(f"The tensors of {name}", public=False)
        paths[f"/models/{at}"] = _get(f"What serves as {name}, since when", public=False)
        if models[name].kind == "forecast":
            paths[f"/predict/{at}"] = _forecast(name, limits.max_horizon)
    if default in bodies:
        schema = bodies[default]
        others = _others(models[default], limits)
        paths["/predict"] = {
            "post": _predict(f"Predict with {default}", schema, None, others=others)
        }
        paths["/invocations"] = {
            "post": _predict(
                f"MLflow's protocol: {default}", schema, None, answer={"type": "object"}
            )
        }
    for path, summary in _PLAIN.items():
        paths[path] = _get(summary, public=path in _PUBLIC)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Baton", "version": "1"},
        "servers": [{"url": prefix or "/"}],
        "paths": paths | job_paths() | feedback_paths(limits.max_rows),
        "components": {
            "schemas": {"Problem": _PROBLEM, "Answer": _ANSWER, "Job": JOB},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        **({"security": [{"key": []}]} if closed else {}),
    }


_PLAIN: Final = {
    "/models": "What this node serves",
    "/v2": "This server, in the Open Inference Protocol",
    "/version": "The version of MLflow whose protocol is spoken",
    "/metrics": "For Prometheus",
    "/livez": "Whether this worker answers",
    "/readyz": "Whether everything in Production is loaded",
    "/ping": "The same, for MLflow's clients",
    "/health": "The same, for MLflow's clients",
    "/v2/health/live": "Whether this worker answers",
    "/v2/health/ready": "Whether everything in Production is loaded",
}
_PUBLIC: Final = frozenset(
    {"/livez", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"}
)


def _body(servable: Servable, limits: Limits) -> Schema:
    signature = servable.signature
    if signature is None:
        return {"type": "object"}
    return request_schema(
        servable.kind,
        signature,
        servable.params,
        history=servable.history,
        most_rows=limits.max_rows,
        most_steps=limits.max_horizon,
    )


def _example(servable: Servable) -> dict[str, Any]:
    """A request to be shown: its own, but for pictures, of which the smallest says enough."""
    return dict(servable.synthetic() if servable.kind == "image" else servable.example())


def _others(servable: Servable, limits: Limits) -> dict[str, Any]:
    """What a model takes besides JSON, by content type."""
    if servable.kind != "image":
        return {}
    form = {"schema": form_schema(PICTURE_FIELDS, limits.max_rows)}
    return {MEDIA_TYPE: form, **{name: {"schema": FILE} for name in PICTURES}}


def _predict(
    summary: str,
    schema: Schema,
    example: Mapping[str, Any] | None,
    *,
    answer: Schema = _AN_ANSWER,
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example:
        content["example"] = example
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: content, **(others or {})}},
        "responses": _responses(answer),
    }


def _infer(name: str) -> dict[str, Any]:
    return {
        "summary": f"The Open Inference Protocol: {name}",
        "requestBody": {"required": True, "content": {_JSON: {"schema": _V2}}},
        "responses": _responses({"type": "object"}),
    }


def _forecast(name: str, most_steps: int) -> dict[str, Any]:
    steps = {"type": "integer", "minimum": 1, "maximum": most_steps, "default": 30}
    return {
        "get": {
            "summary": f"Forecast with {name}",
            "parameters": [{"name": "days", "in": "query", "schema": steps}],
            "responses": _responses(_AN_ANSWER),
        }
    }


def _get(summary: str, *, public: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "it is so"}, "503": {"description": "not yet"}},
    }
    return {"get": {**asked, "security": []} if public else asked}


def _responses(schema: Schema) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "200": {
            "description": "the answer",
            "headers": _HEADERS,
            "content": {_JSON: {"schema": schema}},
        },
        **{status: {"description": why, "content": problem} for status, why in _MISTAKES.items()},
    }
