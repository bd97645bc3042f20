"""Jobs in the description of the server: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from registry.job_bodies import LEAST_POINTS, MOST_POINTS
from registry.jobs import JobKind, JobState
from serving.problems import CONTENT_TYPE
from serving.request_schema import Schema

_JSON: Final = "application/json"
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 200}
_DAY: Final = {"type": "string", "format": "date"}
_MAYBE: Final = {"type": ["string", "null"]}
_POINT: Final = {"type": "number", "exclusiveMinimum": 0}
_TRAIN: Final[Schema] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("workload", "ticker", "series", "source", "model", "experiment"), _TEXT),
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
        "start_date": _DAY,
        "end_date": _DAY,
    },
    "anyOf": [{"required": ["workload"]}, {"required": ["ticker"]}],
    "additionalProperties": {"type": ["number", "string", "boolean"]},
    "maxProperties": 64,
}
_SERIES: Final[Schema] = {
    "type": "object",
    "properties": {
        "data": {
            "type": "array",
            "minItems": LEAST_POINTS,
            "maxItems": MOST_POINTS,
            "items": {
                "anyOf": [
                    _POINT,
                    {
                        "type": "object",
                        "properties": {
                            **{name: {"type": "string"} for name in ("ds", "date")},
                            **dict.fromkeys(("value", "close", "y"), _POINT),
                        },
                    },
                ]
            },
        },
        "ticker": _TEXT,
        "seq_length": {"type": "integer", "minimum": 5, "maximum": 120, "default": 30},
        "epochs": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
        "learning_rate": {"type": "number", "minimum": 1e-6, "maximum": 1, "default": 0.001},
        "days": {"type": "integer", "minimum": 1, "maximum": 90, "default": 5},
    },
    "required": ["data"],
    "additionalProperties": False,
}
JOB: Final[Schema] = {
    "type": "object",
    "properties": {
        "job_id": {"type": "string", "format": "uuid"},
        "url": {"type": "string"},
        "kind": {"enum": [kind.value for kind in JobKind]},
        "state": {"enum": [state.value for state in JobState]},
        "cancelling": {"type": "boolean"},
        "attempt": {"type": "integer"},
        "worker": _MAYBE,
        "step": _MAYBE,
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "metrics": {"type": "object"},
        "log": {"type": "array", "items": {"type": "string"}},
        "run_id": _MAYBE,
        "model": _MAYBE,
        "version": _MAYBE,
        "reason": _MAYBE,
        "request": {"type": "object"},
        "result": {"type": ["object", "null"]},
        **dict.fromkeys(("created", "started", "ended"), _MAYBE),
    },
    "required": ["job_id", "url", "kind", "state", "attempt", "progress", "metrics", "created"],
}
_A_JOB: Final = {"$ref": "#/components/schemas/Job"}
_WHY: Final = {
    "400": "not JSON, or not an object",
    "401": "no API key, or none of this server",
    "403": "the key may not do this",
    "404": "no such job, or another key's",
    "409": "the job has ended",
    "413": "too large",
    "415": "another content type",
    "422": "a value that cannot be, or an idempotency key that came with another request",
    "429": "as many jobs of this key as there may be, or more often than it may ask",
    "503": "the queue cannot be reached, or too many ask for it",
}
_IN_PATH: Final = [{"name": "job", "in": "path", "required": True, "schema": {"type": "string"}}]
_REPEATED: Final = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "the same key with the same body is the same job",
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    }
]


def job_paths() -> dict[str, Any]:
    """The paths of jobs, as OpenAPI has them."""
    listed = {"type": "object", "properties": {"jobs": {"type": "array", "items": _A_JOB}}}
    return {
        "/train": {"post": _asked("Train a workload, as a job", _TRAIN, {"workload": "iris"})},
        "/predict-custom": {
            "post": _asked(
                "Forecast a series of one's own, as a job; nothing is registered",
                _SERIES,
                {"data": [100.0 + day % 7 for day in range(LEAST_POINTS)], "epochs": 5},
            )
        },
        "/jobs": {"get": _described("The newest jobs of this key", {"200": listed}, ())},
        "/jobs/{job}": {
            "get": {
                **_described("One job", {"200": _A_JOB}, ("404",)),
                "parameters": _IN_PATH,
            },
            "delete": {
                **_described("Cancel a job", {"200": _A_JOB, "202": _A_JOB}, ("404", "409")),
                "parameters": _IN_PATH,
            },
        },
    }


def _asked(summary: str, schema: Schema, example: Mapping[str, Any]) -> dict[str, Any]:
    refusals = ("400", "413", "415", "422", "429")
    return {
        **_described(summary, {"200": _A_JOB, "202": _A_JOB}, refusals),
        "parameters": _REPEATED,
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": schema, "example": dict(example)}},
        },
    }


def _described(
    summary: str, answers: Mapping[str, Schema], refusals: tuple[str, ...]
) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said = {"200": "as it is", "202": "it is begun"}
    return {
        "summary": summary,
        "responses": {
            **{
                status: {"description": said[status], "content": {_JSON: {"schema": schema}}}
                for status, schema in answers.items()
            },
            **{
                status: {"description": _WHY[status], "content": problem}
                for status in (*refusals, "401", "403", "503")
            },
        },
    }
