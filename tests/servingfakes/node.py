"""A real node: `python -m serving` on a home of its own, with a ledger that the test appends to.

MLflow is an address where nobody listens: the node must not need it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.node import free_port
from benchmarks.processes import children, command, descendants
from registry.ledger import Entry, Route
from registry.nudge import knock
from registry.sql_ledger import SqlLedger
from tests.servingfakes.versions import append

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def seq(self) -> int:
        return int(self.headers.get("X-Model-Seq", 0))


@dataclass
class Node:
    """One BATON_HOME; `start` and `stop` its server as often as wanted."""

    home: Path
    port: int = 0
    workers: int = 2
    cwd: Path = ROOT
    environ: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.ledger = SqlLedger(self.ledger_url)

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.home / 'ledger.db'}"

    def environment(self) -> dict[str, str]:
        own = {
            "BATON_HOME": str(self.home),
            "BATON_BIND": f"127.0.0.1:{self.port}",
            "BATON_WORKERS": str(self.workers),
            "BATON_LEDGER_URL": self.ledger_url,
            "BATON_POLL_SECONDS": "0.5",
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }
        return {**os.environ, **own, **self.environ}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the server; its log goes to a file in the home."""
        with (self.home / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "serving", *arguments],
                cwd=self.cwd,
                env=self.environment(),
                stdout=log,
                stderr=log,
            )
        return self.server

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit code."""
        assert self.server
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        try:
            return self.server.wait(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.server.kill()
            raise

    def promote(self, to: Route, *arm: Route, model: str = "iris") -> Entry:
        """Append to the ledger and tell the watcher, as the command does."""
        entry = append(self.ledger, model, to, *arm)
        knock(self.home / "node.sock")
        return entry

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own; an object is sent as JSON."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, raw, given)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def predict(self, x: float = 1.0, *, model: str = "iris") -> Reply:
        """Ask a model of one column."""
        return self.ask("POST", f"/models/{model}/predict", {"instances": [[x]]})

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Wait for something to become true, refused connections included; returns it."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if found := done():
                    return found
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {DEADLINE_SECONDS:g} s\n{self.log()[-4000:]}")

    def until_serving(self, seq: int, *, model: str = "iris") -> Reply:
        """Wait until a model answers with at least this seq."""
        reply = self.until(
            lambda: (r := self.predict(model=model)).status == 200 and r.seq >= seq and r,
            f"{model} answers with seq {seq}",
        )
        assert isinstance(reply, Reply)
        return reply

    def until_well(self, *, model: str = "iris") -> Any:
        """Wait until a model is not degraded, and show it: that is said just after it answers."""
        return self.until(
            lambda: not (r := self.ask("GET", f"/models/{model}").json)["degraded"] and r,
            f"{model} is not degraded",
        )

    def log(self) -> str:
        return (self.home / "server.log").read_text(encoding="utf-8", errors="replace")

    def processes(self) -> dict[int, str]:
        """The server's descendants: pid to command line."""
        assert self.server
        found = descendants(self.server.pid)
        return {pid: command(pid) for pid in found}

    def pid_of(self, part: str) -> int:
        """The one descendant whose command line has `part`, once there is one."""

        def the_one() -> list[int]:
            found = [pid for pid, said in self.processes().items() if part in said]
            return found if len(found) == 1 else []

        return int(self.until(the_one, f"one process {part}")[0])

    def worker_pids(self) -> set[int]:
        """The gunicorn processes below the first one."""
        assert self.server
        [master] = [p for p in children(self.server.pid) if "gunicorn" in command(p)]
        return set(children(master))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
