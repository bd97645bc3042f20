"""Feedback in the description of the server: what is sent, and what comes back."""

from __future__ import annotations

from typing import Any, Final

from registry.feedback import Fate
from serving.problems import CONTENT_TYPE
from serving.request_schema import Schema

_JSON: Final = "application/json"
_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
_PIECE: Final[Schema] = {
    "type": "object",
    "properties": {
        "prediction_id": _TEXT,
        "row": {"type": "integer", "minimum": 0, "default": 0},
        "series": _TEXT,
        "model": _TEXT,
        "date": {"type": "string", "description": "ISO 8601, without a time zone"},
        "actual": {"type": ["number", "string", "boolean"]},
        "at": {"type": "string", "description": "when it came true, ISO 8601"},
        "correct": {"type": "boolean", "default": False},
    },
    "required": ["actual"],
    "oneOf": [
        {"required": ["prediction_id"]},
        {"required": ["series", "date"]},
        {"required": ["model", "date"]},
    ],
    "additionalProperties": False,
}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_RECEIVED: Final[Schema] = {
    "type": "object",
    "properties": {
        **{fate.value: _COUNT for fate in Fate},
        "late": _COUNT,
        "notes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": _COUNT,
                    "class": {"enum": [Fate.CONTRADICTING.value, Fate.REFUSED.value]},
                    "reason": {"type": "string"},
                },
                "required": ["index", "class", "reason"],
            },
        },
    },
    "required": [*(fate.value for fate in Fate), "late", "notes"],
}
_WHY: Final = {
    "400": "not JSON, or neither an object nor a list",
    "401": "no API key, or none of this server",
    "403": "the key may not do this",
    "413": "too large, or too many at once",
    "415": "another content type",
    "429": "more often than the key may",
    "503": "where it is kept cannot be reached, or too many ask for it",
}


def feedback_paths(most: int) -> dict[str, Any]:
    """The path of feedback, as OpenAPI has it; `most` pieces are taken at once."""
    several = {"type": "array", "items": _PIECE, "maxItems": most}
    problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    example = {"prediction_id": "5e0d6c1e-8a53-4c7e-9f55-0f8f0d3a1b2c", "actual": 1}
    return {
        "/feedback": {
            "post": {
                "summary": "Say what came true, of one prediction or date or of several",
                "requestBody": {
                    "required": True,
                    "content": {
                        _JSON: {"schema": {"anyOf": [_PIECE, several]}, "example": example}
                    },
                },
                "responses": {
                    "200": {
                        "description": "what became of each piece, counted",
                        "content": {_JSON: {"schema": _RECEIVED}},
                    },
                    **{
                        status: {"description": why, "content": problem}
                        for status, why in _WHY.items()
                    },
                },
            }
        }
    }
