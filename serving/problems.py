"""THE table from errors to HTTP, and problem documents (RFC 9457). Knows no web framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson

from registry.errors import (
    AmbiguousModel,
    BatonError,
    Forbidden,
    JobOver,
    KeyReused,
    MalformedRequest,
    NotLogged,
    NotReady,
    Overloaded,
    RequestError,
    RequestTooLarge,
    SignatureMismatch,
    TooManyRequests,
    Unauthenticated,
    UnknownJob,
    UnknownModel,
    UnsupportedMediaType,
)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1

# The first class that fits; anything else is 500.
_STATUS: Final[Mapping[type[BatonError], HTTPStatus]] = {
    MalformedRequest: HTTPStatus.BAD_REQUEST,
    UnknownModel: HTTPStatus.NOT_FOUND,
    UnknownJob: HTTPStatus.NOT_FOUND,
    JobOver: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    AmbiguousModel: HTTPStatus.CONFLICT,
    RequestTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    SignatureMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    RequestError: HTTPStatus.BAD_REQUEST,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    NotLogged: HTTPStatus.SERVICE_UNAVAILABLE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True)
class Problem:
    """A refusal, in nobody's protocol yet; `extra` are members of its document."""

    status: HTTPStatus
    detail: str
    request_id: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    retry_after_seconds: int = RETRY_AFTER_SECONDS

    @property
    def headers(self) -> Mapping[str, str]:
        """What it says in headers, whatever the protocol."""
        headers = {"X-Request-Id": self.request_id}
        if self.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            headers["Retry-After"] = str(self.retry_after_seconds)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def document(self) -> bytes:
        """The problem document, of type `CONTENT_TYPE`."""
        return orjson.dumps(
            {
                "type": "about:blank",
                "title": self.status.phrase,
                "status": self.status.value,
                "detail": self.detail,
                "request_id": self.request_id,
                **self.extra,
            }
        )


def problem(error: BaseException, *, request_id: str) -> Problem:
    """The refusal for an error; what is not the client's fault says nothing about its cause."""
    status = next(
        (status for kind, status in _STATUS.items() if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    fault = status is HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "the server failed to answer; its log has the request id" if fault else str(error)
    extra: dict[str, Any] = {}
    if isinstance(error, SignatureMismatch):
        extra = {"field": error.field, "expected": error.expected, "got": error.got}
    wait = math.ceil(error.seconds) if isinstance(error, TooManyRequests) else RETRY_AFTER_SECONDS
    return Problem(status, detail, request_id, extra, max(1, wait))
