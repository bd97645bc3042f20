"""One function answers a prediction request, whatever protocol and server it came through.

Bytes in, status, headers and bytes out. Routes are thin around it. It can reach neither the
registry, nor a database, nor the disk.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from registry.errors import (
    MalformedRequest,
    RequestTooLarge,
    UnsupportedMediaType,
)
from serving import metrics, problems
from serving.manager import Manager, Serving

_log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_DEPTH = 100
_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY
_UTF8_JSON: Final = re.compile(
    r'application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset="?utf-?8"?\s*)?', re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answerer:
    """The hot path of one worker."""

    def __init__(self, manager: Manager, *, default_model: str, max_body_bytes: int) -> None:
        """`default_model` may be empty."""
        self._manager = manager
        self._default_model = default_model
        self._max_body_bytes = max_body_bytes

    def answer(
        self,
        model: str | None,
        body: bytes,
        content_type: str | None,
        *,
        request_id: str | None = None,
    ) -> Answer:
        """Answer a JSON request for `model`; None leaves the choice to the body or the default."""
        return self._guarded(model, request_id, lambda: self._parsed(body, content_type))

    def answer_object(
        self, model: str, body: Mapping[str, Any], *, request_id: str | None = None
    ) -> Answer:
        """The same for a request that is not JSON text, such as a query string's."""
        return self._guarded(model, request_id, lambda: body)

    def _guarded(self, model: str | None, request_id: str | None, parse: Any) -> Answer:
        """Answer, or turn whatever went wrong into a problem document; count both."""
        begun = time.perf_counter()
        identity = trusted_id(request_id)
        labels = ("", "")
        headers: dict[str, str] = {}
        try:
            name, body = self._named(model, parse())
            with self._manager.acquire(name) as serving:
                labels = (name, str(serving.assignment.version))
                headers = self._headers(serving)
                result = serving.servable.predict(body)
            answer = self._encoded(serving, result, {**headers, "X-Request-Id": identity})
        except Exception as error:  # noqa: BLE001 - every failure becomes a document
            found = problems.problem(error, request_id=identity)
            if found.status >= 500:
                _log.warning(
                    "%s",
                    error,
                    exc_info=found.status == 500,
                    extra={
                        "request_id": identity,
                        "model": labels[0],
                        "version": labels[1],
                    },
                )
            answer = Answer(found.status.value, {**headers, **found.headers}, found.body)
        metrics.REQUESTS.labels(labels[0], str(answer.status)).inc()
        metrics.REQUEST_SECONDS.labels(labels[0]).observe(time.perf_counter() - begun)
        return answer

    def _encoded(
        self, serving: Serving, result: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Answer:
        assignment = serving.assignment
        metrics.PREDICTIONS.labels(assignment.model).inc(len(result["predictions"]))
        body = {
            "model": assignment.model,
            "version": str(assignment.version),
            "prediction_id": str(uuid.uuid4()),
            **result,
        }
        return Answer(
            200, {**headers, "Content-Type": "application/json"}, orjson.dumps(body, option=_DUMP)
        )

    def _headers(self, serving: Serving) -> dict[str, str]:
        assignment = serving.assignment
        seq = {"X-Model-Seq": str(assignment.key.seq)} if assignment.in_ledger else {}
        return {
            "X-Model-Name": assignment.model,
            "X-Model-Version": str(assignment.version),
            **seq,
            "X-Worker": str(self._manager.slot),
        }

    def _parsed(self, body: bytes, content_type: str | None) -> Mapping[str, Any]:
        """The JSON object in `body`: strict, UTF-8, at most 100 deep."""
        if len(body) > self._max_body_bytes:
            raise RequestTooLarge(f"body: {len(body)} bytes, at most {self._max_body_bytes}")
        if not content_type or not _UTF8_JSON.fullmatch(content_type):
            raise UnsupportedMediaType(
                f"Content-Type: expected application/json, got {content_type or 'none'}; "
                "with curl add -H 'Content-Type: application/json'"
            )
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedRequest(f"body: not JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise MalformedRequest(f"body: expected an object, got {type(parsed).__name__}")
        if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _too_deep(parsed):
            raise MalformedRequest(f"body: nested deeper than {_MAX_DEPTH}")
        return parsed

    def _named(self, model: str | None, body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Which model is meant, and the body without its name."""
        if model is not None:
            return model, body
        if "model" in body:
            name = body["model"]
            if not isinstance(name, str):
                raise MalformedRequest("model: expected a name as text")
            return name, {key: value for key, value in body.items() if key != "model"}
        served = list(self._manager.models())
        if self._default_model or len(served) == 1:
            return self._default_model or served[0], body
        if not served:
            return "", body
        raise MalformedRequest(
            f'several models are served: post to /models/<name>/predict, or say "model"; there is: '
            f"{', '.join(sorted(served))}"
        )


def trusted_id(given: str | None) -> str:
    """The client's request id if it has the agreed form, else one of ours."""
    return given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _too_deep(value: Any) -> bool:
    """Whether anything in `value` is nested deeper than allowed; walks level by level."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
