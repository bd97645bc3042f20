"""Baton's own protocol: a JSON object in one of the kind's forms, which may name its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from registry.errors import MalformedRequest, UnsupportedMediaType
from serving.problems import CONTENT_TYPE, Problem
from serving.protocols import Answered, Header
from serving.servable import Servable
from serving.strict_json import is_json, load_object

_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY
_JSON: Final = {"Content-Type": "application/json"}


class BatonQuestion(NamedTuple):
    """A request object without its model's name."""

    model: str | None
    asked: Mapping[str, Any]

    def body(self, _servable: Servable) -> Mapping[str, Any]:
        """The object as it came."""
        return self.asked

    def encode(self, answered: Answered) -> tuple[Mapping[str, str], bytes]:
        """The result beside who gave it."""
        body = {
            "model": answered.model,
            "version": answered.version,
            "prediction_id": answered.prediction_id,
            **answered.result,
        }
        return _JSON, orjson.dumps(body, option=_DUMP)


class Baton:
    """`POST /predict`, `POST /models/<name>/predict`."""

    def read(self, body: bytes, header: Header) -> BatonQuestion:
        """See `Protocol.read`."""
        content_type = header("Content-Type")
        if not is_json(content_type):
            raise UnsupportedMediaType(
                f"Content-Type: expected application/json, got {content_type or 'none'}; "
                "with curl add -H 'Content-Type: application/json'"
            )
        return question(load_object(body))

    def refuse(self, problem: Problem) -> tuple[int, Mapping[str, str], bytes]:
        """A problem document."""
        headers = {**problem.headers, "Content-Type": CONTENT_TYPE}
        return problem.status.value, headers, problem.document()


def question(asked: Mapping[str, Any]) -> BatonQuestion:
    """The same for a request that is not JSON text, such as a query string's."""
    if "model" not in asked:
        return BatonQuestion(None, asked)
    name = asked["model"]
    if not isinstance(name, str):
        raise MalformedRequest("model: expected a name as text")
    return BatonQuestion(name, {key: value for key, value in asked.items() if key != "model"})
