"""Whether a stack that runs is one, seen from where clients are; changes nothing. `make smoke`.

Needs the standard library, and `infra/secrets` for the certificate and the client's key. Ports are
those that the environment tells Compose, as STACK_HTTPS_PORT.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "secrets"
_SECONDS = 15.0


@dataclass(frozen=True)
class Stack:
    """Where it is, and who asks."""

    host: str
    http_port: int
    https_port: int
    mlflow_port: int
    grafana_port: int
    trust: ssl.SSLContext
    key: str

    def ask(self, port: int, path: str, *, has_key: bool = False) -> tuple[int, str]:
        """Status and text of a GET; plain HTTP at its port, TLS at the others."""
        made = (
            http.client.HTTPConnection(self.host, port, timeout=_SECONDS)
            if port == self.http_port
            else http.client.HTTPSConnection(self.host, port, timeout=_SECONDS, context=self.trust)
        )
        try:
            headers = {"Authorization": f"Bearer {self.key}"} if has_key else {}
            made.request("GET", path, headers=headers)
            answer = made.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            made.close()


def checks(stack: Stack) -> Sequence[tuple[str, Callable[[], str]]]:
    """What is looked at, and what tells of it: a fault in words, or nothing."""

    def expect(port: int, path: str, *statuses: int, has_key: bool = False) -> Callable[[], str]:
        def look() -> str:
            status, _ = stack.ask(port, path, has_key=has_key)
            wanted = " or ".join(map(str, statuses))
            return "" if status in statuses else f"expected {wanted}, got {status}"

        return look

    def models() -> str:
        status, text = stack.ask(stack.https_port, "/models", has_key=True)
        if status != http.client.OK:
            return f"expected 200, got {status}"
        names = ", ".join(one["model"] for one in json.loads(text)["models"])
        sys.stdout.write(f"        serves {names or 'nothing yet'}\n")
        return ""

    return (
        ("plain HTTP is sent on to TLS", expect(stack.http_port, "/", 308)),
        ("a node answers, over TLS", expect(stack.https_port, "/version", 200, has_key=True)),
        ("nobody asks without a key", expect(stack.https_port, "/models", 401)),
        ("the key of clients is known", models),
        ("metrics are not published", expect(stack.https_port, "/metrics", 404, has_key=True)),
        ("MLflow answers", expect(stack.mlflow_port, "/health", 200)),
        (
            "MLflow wants its login",
            expect(stack.mlflow_port, "/api/2.0/mlflow/experiments/search", 401),
        ),
        ("Grafana wants its login", expect(stack.grafana_port, "/api/org", 401)),
    )


def main(arguments: Sequence[str]) -> int:
    """Look at everything; 1, and a line each, if something is not as it should be."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--host", default="localhost")
    for name, port in (("http", 8080), ("https", 8443), ("mlflow", 5443), ("grafana", 3443)):
        published = os.environ.get(f"STACK_{name.upper()}_PORT") or port
        parser.add_argument(f"--{name}-port", type=int, default=int(published))
    parser.add_argument("--secrets", type=Path, default=_FOLDER)
    given = parser.parse_args(arguments)
    trust = ssl.create_default_context()
    trust.load_verify_locations(given.secrets / "tls_certificate.pem")
    stack = Stack(
        given.host, given.http_port, given.https_port, given.mlflow_port, given.grafana_port,
        trust, (given.secrets / "client_key").read_text(encoding="utf-8").strip(),
    )  # fmt: skip
    faults = 0
    for what, look in checks(stack):
        try:
            fault = look()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            fault = f"{type(error).__name__}: {error}"
        faults += bool(fault)
        sys.stdout.write(f"{'FAILED' if fault else 'ok':6}  {what}{fault and f': {fault}'}\n")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
