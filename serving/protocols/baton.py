"""Baton's own protocol: a JSON object in one of the kind's forms, which may name its model.

Pictures may come as they are: one as the body itself, or some as the files of a form.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from registry.errors import MalformedRequest, UnsupportedMediaType
from registry.signature import describe
from serving.problems import CONTENT_TYPE, Problem
from serving.protocols import Answered, Header, multipart
from serving.servable import Servable
from serving.strict_json import is_json, load_object

_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY
_JSON: Final = {"Content-Type": "application/json"}
# What it is in truth is told by its content: here a picture is only told from JSON.
PICTURES: Final = ("image/png", "image/jpeg", "image/webp")
PICTURE_FIELDS: Final = ("image", "file")
_IMAGE: Final = "image"
_MODEL: Final = "model"
_TICKER: Final = "ticker"
_PERIOD: Final = ("start_date", "end_date")
_JSON_ONLY: Final = (
    "Content-Type: expected application/json, got {}; "
    "with curl add -H 'Content-Type: application/json'"
)


class BatonQuestion(NamedTuple):
    """A request object without its model's name; pictures in it came as `media_type`."""

    model: str | None
    asked: Mapping[str, Any]
    media_type: str = ""

    def body(self, servable: Servable) -> Mapping[str, Any]:
        """The object as it came."""
        if self.media_type and servable.kind != _IMAGE:
            raise UnsupportedMediaType(_JSON_ONLY.format(self.media_type))
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

    endpoint: Final = "baton"

    def read(self, body: bytes, header: Header) -> BatonQuestion:
        """See `Protocol.read`."""
        content_type = header("Content-Type") or ""
        if is_json(content_type):
            return question(load_object(body))
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type in PICTURES:
            return BatonQuestion(None, {_IMAGE: body}, media_type)
        if media_type == multipart.MEDIA_TYPE:
            return question(_form(multipart.parts(body, content_type)), media_type)
        raise UnsupportedMediaType(
            f"{_JSON_ONLY.format(content_type or 'none')}; "
            f"models of pictures take {multipart.MEDIA_TYPE} and {', '.join(PICTURES)} too"
        )

    def refuse(self, problem: Problem) -> tuple[int, Mapping[str, str], bytes]:
        """A problem document."""
        headers = {**problem.headers, "Content-Type": CONTENT_TYPE}
        return problem.status.value, headers, problem.document()


def question(asked: Mapping[str, Any], media_type: str = "") -> BatonQuestion:
    """The same for a request that is not JSON text, such as a query string's.

    A model is named by `model`, or by the `ticker` it forecasts. With a ticker a period may be
    said, which a model that has learnt already does not need.
    """
    if _TICKER not in asked and _MODEL not in asked:
        return BatonQuestion(None, asked, media_type)
    own = (_TICKER, *_PERIOD) if _TICKER in asked else (_MODEL,)
    named = {key: asked[key] for key in own if key in asked}
    for key, value in named.items():
        if not isinstance(value, str):
            raise MalformedRequest(f"{key}: expected a text, got {describe(value)}")
        if key in _PERIOD:
            _check_date(key, value)
    if _TICKER in asked and _MODEL in asked:
        raise MalformedRequest(f"expected {_MODEL} or {_TICKER}, got both")
    others = {key: value for key, value in asked.items() if key not in named}
    return BatonQuestion(named[own[0]], others, media_type)


def _check_date(key: str, text: str) -> None:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        raise MalformedRequest(
            f"{key}: expected a date such as 2026-11-02, got {describe(text)}"
        ) from None


def _form(parts: Sequence[multipart.Part]) -> dict[str, Any]:
    """The fields of a form as one object: its pictures in the kind's words, its texts by name."""
    pictures, asked = [], dict[str, Any]()
    for part in parts:
        if part.name in PICTURE_FIELDS:
            pictures.append(part.data)
        elif part.filename is not None:
            fields = " or ".join(PICTURE_FIELDS)
            raise MalformedRequest(f"{part.name}: a file; pictures go into a field {fields}")
        elif part.name in asked:
            raise MalformedRequest(f"{part.name}: this field comes twice")
        else:
            try:
                asked[part.name] = part.data.decode()
            except UnicodeDecodeError as error:
                raise MalformedRequest(f"{part.name}: not UTF-8: {error}") from error
    if len(pictures) == 1:
        return {**asked, _IMAGE: pictures[0]}
    return {**asked, "instances": pictures} if pictures else asked
