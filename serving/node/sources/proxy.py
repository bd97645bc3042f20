"""A version's files behind an MLflow server that serves artifacts: `mlflow-artifacts:/…`.

Plain GET requests of urllib3, so that a watcher needs no MLflow. The name and the password go to
the tracking server only: which host an artifact's address names is up to whoever registered it.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from registry.errors import BundleInvalid, Unreachable
from serving.node.sources.http import opened, range_of
from serving.node.sources.source import CONNECT_SECONDS, SILENCE_SECONDS, Opened

_ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
_ACCEPTED = frozenset({200, 206})


@dataclass(frozen=True)
class Server:
    """The tracking server, and who asks it."""

    uri: str
    username: str = ""
    password: str = field(default="", repr=False)


class Proxy:
    """A folder of the server's artifacts."""

    def __init__(self, source: str, server: Server) -> None:
        """`source` is `mlflow-artifacts:/path` or `mlflow-artifacts://host:port/path`."""
        asked, tracking = urlsplit(source), urlsplit(server.uri)
        if tracking.scheme not in {"http", "https"}:
            raise BundleInvalid(
                f"{source}: kept behind an MLflow server, and this node knows none: set "
                "MLFLOW_TRACKING_URI to its http(s) address"
            )
        own = tracking.netloc.rpartition("@")[2]
        host = asked.netloc.rpartition("@")[2] or own
        self._root = (
            f"{tracking.scheme}://{host}{tracking.path.rstrip('/')}{_ROUTE}/"
            f"{quote(unquote(asked.path.strip('/')))}"
        )
        self._headers = _who(server, tracking) if host == own else {}

    def open(self, name: str, start: int) -> Opened:
        """See `Source.open`."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - no worker imports it

        address = f"{self._root}/{quote(name)}"
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = range_of(start)
        try:
            answer = self._pool.request(
                "GET", address, headers=headers, preload_content=False, redirect=False
            )
        except HTTPError as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"{address}: does not answer: {reason}; look at the MLflow server and the network"
            ) from error
        if answer.status not in _ACCEPTED:
            answer.close()
            raise _refused(address, answer.status, start, answer.headers.get("Location", ""))
        return opened(
            address,
            answer,
            content_range=answer.headers.get("Content-Range", ""),
            length=answer.headers.get("Content-Length", ""),
        )

    @cached_property
    def _pool(self) -> Any:
        from urllib3 import PoolManager, Retry, Timeout  # noqa: PLC0415 - as above

        timeout = Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
        # Once more, for a kept connection that the server had closed; the rest is the watcher's.
        retries = Retry(total=1, connect=0, redirect=0, status=0, other=0)
        return PoolManager(timeout=timeout, retries=retries, maxsize=1)


def _who(server: Server, tracking: Any) -> dict[str, str]:
    """Basic authentication by the settings, else by what stands in the tracking URI."""
    name, password = server.username, server.password
    if not name and tracking.username:
        name, password = unquote(tracking.username), unquote(tracking.password or "")
    token = b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"} if name else {}


def _refused(address: str, status: int, start: int, location: str) -> BundleInvalid | Unreachable:
    if status == 404:
        return BundleInvalid(f"{address}: no such artifact (404)")
    if status == 416:
        return BundleInvalid(f"{address}: ends before byte {start}, where it broke off (416)")
    if status in {401, 403}:
        advice = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD must be allowed to read it"
    elif 300 <= status < 400:
        advice = f"it is at {location or 'another address'}: set MLFLOW_TRACKING_URI to that server"
    else:
        advice = "look at the MLflow server's log"
    return Unreachable(f"{address}: refused ({status}); {advice}")
