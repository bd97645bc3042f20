"""A real MLflow server on a node's registry, and what its UI sends to it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import Self

from benchmarks.node import ROOT, CommandFailed, Node, free_port
from registry.process import die_with_parent

_STARTS_SECONDS = 120.0


class MlflowServer:
    """`python -m registry mlflow` while the block lasts, with the call of its UI."""

    def __init__(self, node: Node, model: str) -> None:
        """Nothing runs before the block begins."""
        self._node = node
        self._model = model
        self._port = free_port()

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        with (self._node.home / "mlflow.log").open("wb") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "registry", "mlflow", "--port", str(self._port)],
                cwd=ROOT,
                env=self._node.environ,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
            )
        deadline = time.monotonic() + _STARTS_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise CommandFailed("MLflow did not start")
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._server.terminate()
        self._server.wait(timeout=60)

    def put_into_production(self, version: str) -> None:
        """What the UI sends when one presses OK."""
        stage = {"name": self._model, "version": version, "stage": "Production"}
        body = json.dumps({**stage, "archive_existing_versions": False}).encode()
        self._call("ajax-api/2.0/mlflow/model-versions/transition-stage", body)

    def _answers(self) -> bool:
        try:
            self._call("health", None)
        except OSError:
            return False
        return True

    def _call(self, path: str, body: bytes | None) -> None:
        address = f"http://127.0.0.1:{self._port}/{path}"
        request = urllib.request.Request(
            address, data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - ours
            reply.read()
