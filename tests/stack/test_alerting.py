"""From a rule that fires in a real Prometheus, over a real Alertmanager, to who is told."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.stack.rules import ALERTMANAGER, alerts, loaded
from tests.stack.servers import alertmanager, committed, prometheus

NOBODY = "127.0.0.1:9"  # a port where nobody listens
SECRET = "let me in"  # noqa: S105 - of this test


class Told(ThreadingHTTPServer):
    """Who is told by webhook: keeps what came, and with which key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Ear)
        self.messages: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Ear(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        message = json.loads(self.rfile.read(length))
        assert isinstance(self.server, Told)
        self.server.messages.put((self.headers.get("Authorization", ""), message))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as server:
        thread = threading.Thread(target=server.serve_forever, name="webhook")
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def configuration(root: Path, told: Told) -> dict[str, Any]:
    """The committed routes with the example's receivers: to this test, at once, without mail."""
    config = loaded(ALERTMANAGER / "alertmanager.yml")
    example = loaded(ALERTMANAGER / "receivers.example.yml")
    secret = root / "alert_webhook_key"
    secret.write_text(SECRET, encoding="utf-8")
    for receiver in example["receivers"]:
        receiver.pop("email_configs")
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = told.url
            assert hook["http_config"]["authorization"]["credentials_file"].startswith("/run/")
            hook["http_config"]["authorization"]["credentials_file"] = str(secret)
    config["receivers"] = example["receivers"]
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "2s"
        route["group_interval"] = "1s"
    return dict(config)


def test_an_urgent_alert_of_prometheus_reaches_the_webhook(tmp_path: Path, told: Told) -> None:
    """No node can be scraped: whoever is woken is told once, not once a node."""
    with alertmanager(tmp_path, configuration(tmp_path, told)) as manager:
        addresses = {
            "serving-a:8000": NOBODY,
            "serving-b:8000": "127.0.0.1:10",
            "alertmanager:9093": manager.address,
        }
        config = committed(tmp_path / "prometheus", addresses, key="none", hold="1s")
        with prometheus(tmp_path / "prometheus", config) as watching:
            key, message = told.messages.get(timeout=60)

            def held() -> dict[str, str]:
                found = manager.ask("/api/v2/alerts")
                return {one["labels"]["alertname"]: one["status"]["state"] for one in found}

            watching.until(lambda: "BatonNodeDown" in held(), "the nodes' own alerts too")
            assert held()["BatonDown"] == "active"
            watching.until(lambda: held()["BatonNodeDown"] == "suppressed", "they are held back")
    assert (key, message["receiver"], message["status"]) == (f"Bearer {SECRET}", "urgent", "firing")
    [alert] = message["alerts"]
    assert alert["labels"] == {"alertname": "BatonDown", "severity": "urgent"}
    assert alert["annotations"] == alerts()["BatonDown"]["annotations"]
    assert told.messages.empty(), "nobody else was told of anything"
