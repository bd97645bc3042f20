"""A real MLflow server as the stack has it: logins, PostgreSQL, artifacts in S3 through it.

The very script of its container, from an environment of its own (`make setup GROUP=mlflow`): the
extra that brings logins is no part of what Baton needs.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.node import ROOT, free_port
from tests.missing import ServiceMissing

ADMIN = "admin"
_PYTHON = ROOT / "var" / "environments" / "mlflow" / "bin" / "python"
_SCRIPT = ROOT / "infra" / "docker" / "mlflow_server.py"
_START_SECONDS = 120.0


@dataclass
class MlflowServer:
    """One server; `kill` and `start` it as often as wanted.

    `store` and `logins` are addresses of its databases, `artifacts` is where it keeps files, `s3`
    what boto3 reads of its environment.
    """

    root: Path
    store: str
    logins: str
    artifacts: str
    s3: Mapping[str, str]
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def login(self) -> dict[str, str]:
        """The environment of whoever may do everything there."""
        name = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": self.password}
        return {"MLFLOW_TRACKING_URI": self.address, **name}

    def migrate(self) -> None:
        """Make its tables: more than sixty migrations; raises ServiceMissing."""
        if not _PYTHON.exists():
            raise ServiceMissing("MLflow's own server is not installed: make setup GROUP=mlflow")
        self.root.mkdir(parents=True)
        command = [str(_PYTHON), str(_SCRIPT), "migrate"]
        done = subprocess.run(
            command, cwd=self.root, env=self._environ(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(_PYTHON), str(_SCRIPT), "serve"],
                cwd=self.root,
                env=self._environ(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):  # noqa: S310 - ours
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        words = (self.root / "log").read_text(errors="replace")[-3000:]
        raise AssertionError(f"MLflow's server does not start: {words}")

    def kill(self) -> None:
        """End it at once, with all its processes."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=_START_SECONDS)

    def _environ(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        return {
            **own,
            **self.s3,
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(self.port),
            "MLFLOW_BACKEND_STORE_URI": self.store,
            "MLFLOW_ARTIFACTS_DESTINATION": self.artifacts,
            "MLFLOW_AUTH_DATABASE_URL": self.logins,
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.password[::-1],
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "TMPDIR": str(self.root),
        }
