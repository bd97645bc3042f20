"""A request as a WSGI application takes it (PEP 3333), and what that application answers."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from serving.answer import Answer
from serving.lane.request import Request

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def call(application: Application, request: Request) -> Answer:
    """Run the application to its end; its answer is whole in memory."""
    started: list[tuple[str, Sequence[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: Sequence[tuple[str, str]], _error: object = None
    ) -> None:
        started[:] = [(status, headers)]

    parts = application(_environ(request), start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    status, headers = started[0]
    return Answer(int(status.split()[0]), dict(headers), body)


def path_of(request: Request) -> str:
    """The path that a route is looked up by, as PEP 3333 has texts; empty if there is none."""
    try:
        return _decoded(_target(request.target.decode("latin-1"))[0])
    except ValueError:  # an address that is none: whoever answers it says so
        return ""


def _environ(request: Request) -> dict[str, Any]:
    path, query = _target(request.target.decode("latin-1"))
    peer = request.peer or ("", 0)
    here = request.here or ("", 0)
    environ = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": _decoded(path),
        "QUERY_STRING": query,
        "SERVER_NAME": here[0],
        "SERVER_PORT": str(here[1]),
        "SERVER_PROTOCOL": "HTTP/{}.{}".format(*request.version),
        "REMOTE_ADDR": peer[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        _add(environ, name.decode("latin-1"), value.decode("latin-1"))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(request.body))
    return environ


def _decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1")


def _target(target: str) -> tuple[str, str]:
    """Path and query of a request target, in absolute form too."""
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query
    found = urlsplit(target)
    return found.path or "/", found.query


def _add(environ: dict[str, Any], name: str, value: str) -> None:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    environ[key] = f"{environ[key]},{value}" if key in environ else value
