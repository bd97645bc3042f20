"""The stack in an engine of a test's own: a copy of the checkout, its secrets, its ports."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.node import free_port
from infra.stack_secrets import make
from tests.stack.engine import Engine, run
from tests.stack.tools import ROOT, tool

GATES = "/etc/baton/gates.toml"
PATIENCE_SECONDS = 180.0
IRIS = {
    "dataframe_records": [
        {
            "sepal length (cm)": 5.1,
            "sepal width (cm)": 3.5,
            "petal length (cm)": 1.4,
            "petal width (cm)": 0.2,
        }
    ]
}
# Beside the stack's own file: gates that let in what learnt from bundled data.
OVERRIDE = f"""
services:
  registrar: &gates
    volumes: ["./benchmarks/gates.toml:{GATES}:ro"]
  monitor: *gates
"""


def say(text: str) -> None:
    """A line for whoever waits."""
    sys.stderr.write(f"  {text}\n")


@dataclass
class Stack:
    """A copy of the checkout as a project of Compose."""

    engine: Engine
    folder: Path
    ports: Mapping[str, int]

    @classmethod
    def copied(cls, engine: Engine, folder: Path) -> Stack:
        """Copy what git knows, and make secrets."""
        listed = run(["git", "ls-files", "-co", "--exclude-standard"], engine.environ, cwd=ROOT)
        for name in listed.split("\n")[:-1]:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        (folder / "test.yml").write_text(OVERRIDE)
        make(folder / "infra" / "secrets", host="localhost")
        names = ("HTTP", "HTTPS", "MLFLOW", "GRAFANA")
        return cls(engine, folder, {name: free_port() for name in names})

    @property
    def environ(self) -> dict[str, str]:
        ports = {f"STACK_{name}_PORT": str(port) for name, port in self.ports.items()}
        return {
            **self.engine.environ,
            **ports,
            "STACK_WORKER_GROUP": "training",
            "STACK_GATES": GATES,
            "STACK_VERSION": "test",
            "STACK_RATE": "10000r/s",
        }

    @property
    def command(self) -> list[str]:
        return [tool("docker-compose"), "-f", "docker-compose.prod.yml", "-f", "test.yml"]

    def compose(self, *arguments: str, seconds: float = 900.0, **environ: str) -> str:
        """Run Compose; its output."""
        return run(
            [*self.command, *arguments], self.environ | environ, cwd=self.folder, seconds=seconds
        )

    def refused(self, *arguments: str) -> str:
        """What Compose says where it must fail."""
        done = subprocess.run(
            [*self.command, *arguments], cwd=self.folder, env=self.environ,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode != 0, f"this had to fail: {done.stdout}"
        return done.stdout + done.stderr

    def secret(self, name: str) -> str:
        return (self.folder / "infra" / "secrets" / name).read_text().strip()

    def registry(self, *arguments: str) -> dict[str, Any]:
        """Run `python -m registry …` where the registrar is."""
        entry = ["exec", "-T", "registrar", "python", "infra/docker/entry.py"]
        said = self.compose(*entry, "python", "-m", "registry", *arguments, "--json")
        found: dict[str, Any] = json.loads(said)
        return found

    def connect(self) -> http.client.HTTPSConnection:
        """A client of Baton's door that checks the certificate."""
        trust = ssl.create_default_context(
            cafile=self.folder / "infra" / "secrets" / "tls_certificate.pem"
        )
        return http.client.HTTPSConnection(
            "localhost", self.ports["HTTPS"], timeout=60, context=trust
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Mapping[str, str]]:
        """One request with the client's key: status, JSON, headers."""
        connection = self.connect()
        try:
            raw = None if body is None else json.dumps(body)
            connection.request(method, path, raw, self.headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.getheaders())
        finally:
            connection.close()

    @property
    def headers(self) -> dict[str, str]:
        key = self.secret("client_key")
        return {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def trained(self, **parameters: Any) -> int:
        """Ask for a training over HTTP, as anybody would; the version it registered."""
        status, job, _ = self.ask("POST", "/train", {"workload": "iris", **parameters})
        assert status == 202, job
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            _, now, _ = self.ask("GET", f"/jobs/{job['job_id']}")
            if now["state"] not in {"queued", "running"}:
                break
            time.sleep(1.0)
        assert now["state"] == "finished", now
        return int(now["version"])

    def until_answers(self, version: int) -> float:
        """Seconds until the door answers with at least that version."""
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE_SECONDS:
            status, answer, _ = self.ask("POST", "/models/iris/predict", IRIS)
            if status == 200 and int(answer["version"]) >= version:
                return time.monotonic() - begun
            time.sleep(0.1)
        raise AssertionError(f"version {version} does not answer: {status} {answer}")

    def pid(self, service: str) -> int:
        """The first process of a service's container, as this machine knows it."""
        [container] = self.compose("ps", "--quiet", service).split()
        return int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", container))


@dataclass
class Load:
    """Clients that go on asking over TLS; what they got."""

    stack: Stack
    clients: int = 4
    pause_seconds: float = 0.02
    statuses: Counter[int | str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Ask until the end of the block."""
        threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    @property
    def count(self) -> int:
        return sum(self.statuses.values())

    @property
    def failed(self) -> Mapping[int | str, int]:
        return {what: count for what, count in self.statuses.items() if what != 200}

    def until(self, more: int) -> None:
        """Let so many more requests be answered."""
        goal = self.count + more
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.count < goal and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.count >= goal, self.statuses

    def _ask(self) -> None:
        connection, body, headers = self.stack.connect(), json.dumps(IRIS), self.stack.headers
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                connection.request("POST", "/models/iris/predict", body, headers)
                answer = connection.getresponse()
                found = json.loads(answer.read())
                self.statuses[answer.status] += 1
                self.versions[str(found.get("version"))] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.statuses[type(error).__name__] += 1
                connection.close()
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begun)
            time.sleep(self.pause_seconds)
        connection.close()


def upgraded(stack: Stack, **environ: str) -> None:
    """`make upgrade`, without building again."""
    from infra.upgrade import upgrade  # noqa: PLC0415 - beside its only use

    def compose(command: Sequence[str]) -> int:
        return subprocess.run(
            [*stack.command, *command], cwd=stack.folder, env=stack.environ | environ,
            capture_output=True, timeout=600, check=False,
        ).returncode  # fmt: skip

    upgrade(compose, build=False)
