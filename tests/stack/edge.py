"""The stack's nginx, natively: the very template of the stack, for servers of a test's own.

`values()` are what the stack's container is given as variables, with addresses of this machine.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node import free_port
from tests.missing import ServiceMissing

TEMPLATE = (
    Path(__file__).resolve().parents[2] / "infra" / "nginx" / "templates" / "nginx.conf.template"
)
_WORD = re.compile(r"\$\{(EDGE_\w+)\}")
_PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Edge:
    """A running nginx: its ports, and a client's trust in it."""

    http: int
    https: int
    mlflow: int
    grafana: int
    certificate: Path
    process: subprocess.Popen[bytes]

    def connect(self, port: int | None = None) -> http.client.HTTPSConnection:
        """A connection that checks the certificate; to Baton's port if none is named."""
        trust = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection(
            "localhost", port or self.https, timeout=30, context=trust
        )


def rendered(values: Mapping[str, str]) -> str:
    """The template as envsubst fills it in; KeyError for a word without a value."""
    return _WORD.sub(lambda found: values[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def values(
    root: Path,
    *,
    serving: tuple[str, str],
    mlflow: str,
    grafana: str,
    certificate: tuple[Path, Path],
) -> dict[str, str]:
    """What the words mean natively, at free ports of 127.0.0.1."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    ports = {
        name: f"127.0.0.1:{free_port()}"
        for name in ("EDGE_HTTP", "EDGE_HTTPS", "EDGE_MLFLOW_HTTPS", "EDGE_GRAFANA_HTTPS")
    }
    return {
        **ports,
        "EDGE_DIR": str(root),
        "EDGE_USER": f"user {user};" if os.geteuid() == 0 else "",
        "EDGE_PUBLIC_PORT": ports["EDGE_HTTPS"].rpartition(":")[2],
        "EDGE_CERTIFICATE": str(certificate[0]),
        "EDGE_KEY": str(certificate[1]),
        "EDGE_SERVING_A": serving[0],
        "EDGE_SERVING_B": serving[1],
        "EDGE_CANARY": serving[0],
        "EDGE_SPLIT": "",
        "EDGE_MLFLOW": mlflow,
        "EDGE_GRAFANA": grafana,
        "EDGE_RATE": "10000r/s",
        "EDGE_BURST": "10000",
        "EDGE_CONNECTIONS": "1000",
        "EDGE_MAX_BODY": "17m",
    }


@contextlib.contextmanager
def edge(root: Path, words: Mapping[str, str]) -> Iterator[Edge]:
    """Run nginx on the rendered template until the block ends."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not program:
        ServiceMissing("no nginx is installed").skip_or_fail()
    config = root / "nginx.conf"
    config.write_text(rendered(words), encoding="utf-8")
    command = [str(program), "-p", str(root), "-e", str(root / "error.log"), "-c", str(config)]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, root)
        yield Edge(
            http=_port(words["EDGE_HTTP"]),
            https=_port(words["EDGE_HTTPS"]),
            mlflow=_port(words["EDGE_MLFLOW_HTTPS"]),
            grafana=_port(words["EDGE_GRAFANA_HTTPS"]),
            certificate=Path(words["EDGE_CERTIFICATE"]),
            process=process,
        )
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_SECONDS)


def self_signed(root: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key, made by openssl as `make secrets` makes them."""
    from infra.stack_secrets import certificate  # noqa: PLC0415 - beside what needs it

    made = certificate("localhost")
    if made is None:
        ServiceMissing("no openssl is installed").skip_or_fail()
    files = root / "certificate.pem", root / "key.pem"
    for path, text in zip(files, made, strict=True):
        path.write_text(text, encoding="utf-8")
    return files


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _wait(process: subprocess.Popen[bytes], root: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if (root / "nginx.pid").read_text().strip():
                return
        time.sleep(0.02)
    said = (root / "log").read_text() + (root / "error.log").read_text()
    raise AssertionError(f"nginx did not start: {said}")
