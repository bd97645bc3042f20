"""A client of this server in Python: typed answers, one kind of error, connections kept alive.

    client = Client("http://127.0.0.1:8000", key="baton_…")
    client.predict("iris", rows=[[5.1, 3.5, 1.4, 0.2]]).predictions     # [0]

Nothing but the standard library: the file may be copied into any project. A `Client` may be used by
several threads at once; each request has a connection to itself while it lasts.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import quote, urlsplit

_CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class RequestFailed(Exception):
    """A refusal, a failure, or no answer (`status` 0); `retry_after` in seconds, where said."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        request_id: str = "",
        retry_after: int | None = None,
    ) -> None:
        """What the server's problem document and headers say."""
        super().__init__(f"{status or ''} {title}: {detail}".strip())
        self.status, self.title, self.detail = status, title, detail
        self.request_id, self.retry_after = request_id, retry_after


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One answer. A forecast's predictions are mappings with `ds`, `yhat` and the band."""

    model: str
    version: str
    seq: int | None
    prediction_id: str
    request_id: str
    predictions: Sequence[Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Model:
    """What serves under the name `model`; without a version nothing does yet."""

    model: str
    version: str | None
    seq: int | None
    kind: str | None
    engine: str | None
    ready: bool
    degraded: bool
    reason: str | None


_MODEL = tuple(one.name for one in fields(Model))


class Client:
    """One server; `close` it at the end, or use `contextlib.closing`."""

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 10.0) -> None:
        """`url` may end with a path; `key` is an API key; `timeout` in seconds, for each wait."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: expected http://host:port or https://…, got {url!r}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connect = partial(kind, parts.hostname, parts.port, timeout=timeout)
        self._url, self._path = url, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._idle: list[HTTPConnection] = []

    def predict(
        self,
        model: str,
        rows: Sequence[Any] | None = None,
        *,
        columns: Mapping[str, Sequence[Any]] | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """One prediction a row: `rows` as lists or mappings, or `columns` by name.

        Arrays are fine wherever lists are. Raises RequestFailed.
        """
        if (rows is None) == (columns is None):
            raise ValueError("expected either rows or columns")
        asked = {"instances": rows} if columns is None else {"inputs": columns}
        return self._predict(model, asked, request_id)

    def forecast(self, model: str, horizon: int = 30) -> Prediction:
        """The next `horizon` steps of a forecast's calendar. Raises RequestFailed."""
        return self._predict(model, {"horizon": horizon})

    def models(self) -> list[Model]:
        """What is served here. Raises RequestFailed."""
        _, body = self._ask("GET", "/models")
        return [Model(**{name: one.get(name) for name in _MODEL}) for one in body["models"]]

    def feedback(self, *told: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say what came true, as `POST /feedback` takes it; counts. Raises RequestFailed."""
        return dict(self._ask("POST", "/feedback", told)[1])

    def ready(self) -> bool:
        """Whether it would answer predictions now; False too while nobody is there."""
        try:
            return bool(self._ask("GET", "/readyz"))
        except RequestFailed as error:
            if error.status not in (0, 503):
                raise
            return False

    def close(self) -> None:
        """End the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _predict(self, model: str, asked: Any, request_id: str | None = None) -> Prediction:
        path = f"/models/{quote(model, safe='')}/predict"
        headers, body = self._ask("POST", path, asked, request_id)
        seq = headers.get("X-Model-Seq")
        return Prediction(
            model=body["model"],
            version=body["version"],
            seq=int(seq) if seq else None,
            prediction_id=body["prediction_id"],
            request_id=headers.get("X-Request-Id", ""),
            predictions=body["predictions"],
            outputs=body.get("outputs", {}),
        )

    def _ask(
        self, method: str, path: str, asked: Any = None, request_id: str | None = None
    ) -> tuple[http.client.HTTPMessage, Any]:
        """Headers and JSON of an answer; whatever is not 2xx is raised."""
        named = {"X-Request-Id": request_id} if request_id else {}
        headers = {"Content-Type": "application/json", **self._headers, **named}
        data = asked and json.dumps(asked, allow_nan=False, default=_plain).encode()
        try:
            reply, raw = self._send(method, self._path + path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            detail = f"{self._url}: {type(error).__name__}: {error}"
            raise RequestFailed(0, "No answer", detail, request_id=request_id or "") from error
        body = _json(raw)
        if 200 <= reply.status < 300 and body:
            return reply.headers, body
        wait = reply.headers.get("Retry-After", "")
        raise RequestFailed(
            reply.status,
            str(body.get("title", reply.reason)),
            str(body.get("detail", raw[:200].decode(errors="replace"))),
            request_id=reply.headers.get("X-Request-Id", ""),
            retry_after=int(wait) if wait.isdigit() else None,
        )

    def _send(self, *request: Any) -> tuple[HTTPResponse, bytes]:
        """Ask on a kept connection; on a new one if there is none, or the server closed it."""
        with contextlib.suppress(IndexError, *_CLOSED):
            return self._exchange(self._idle.pop(), *request)
        return self._exchange(self._connect(), *request)

    def _exchange(self, connection: HTTPConnection, *request: Any) -> tuple[HTTPResponse, bytes]:
        try:
            connection.request(*request)
            reply = connection.getresponse()
            raw = reply.read()
        except BaseException:
            connection.close()
            raise
        if not reply.will_close:
            self._idle.append(connection)
        return reply, raw


def _json(raw: bytes) -> dict[str, Any]:
    """The object a body holds; empty for anything else."""
    with contextlib.suppress(ValueError):
        body = json.loads(raw)
        return body if isinstance(body, dict) else {}
    return {}


def _plain(value: Any) -> Any:
    """Arrays of any library, and their scalars, as JSON can hold them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"expected what JSON can hold, got {type(value).__name__}")
