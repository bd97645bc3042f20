"""Asks an application through the lane, over sockets, as Flask's test client asks it without."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse

from serving.lane.connection import Connection
from serving.lane.lane import Lane
from serving.routes.parts import EXTENSION

_SECONDS = 30.0
Client: TypeAlias = "FlaskClient | LaneClient"
Through = Callable[[Flask], Client]


class LaneClient:
    """One connection, kept alive; `post` and `get` take what Flask's test client takes."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lane", daemon=True)
        self._thread.start()
        assert self._ready.wait(_SECONDS)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)

    def post(self, path: str, **asked: Any) -> TestResponse:
        return self.open(path, method="POST", **asked)

    def get(self, path: str, **asked: Any) -> TestResponse:
        return self.open(path, method="GET", **asked)

    def open(self, path: str, *, method: str, **asked: Any) -> TestResponse:
        request = EnvironBuilder(path=path, method=method, **asked).get_request()
        given = {k: v for k, v in request.headers.items() if k != "Host"}
        self._connection.request(method, request.full_path.rstrip("?"), request.get_data(), given)
        reply = self._connection.getresponse()
        headers = Headers(reply.getheaders())
        return TestResponse([reply.read()], f"{reply.status} {reply.reason}", headers, request)

    def close(self) -> None:
        self._connection.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        lane = Lane(self.app.wsgi_app, self.app.extensions[EXTENSION], most_open=100)
        served = self.loop.create_server(lambda: Connection(lane), "127.0.0.1", 0)
        server = self.loop.run_until_complete(served)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self.loop.run_forever()
        server.close()
        lane.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
