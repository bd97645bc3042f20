"""Running Baton's commands and its server as a user does, for the demo and the benchmarks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.process import die_with_parent

ROOT = Path(__file__).resolve().parents[1]
GATES = Path(__file__).with_name("gates.toml")


class CommandFailed(Exception):
    """A command ended with a code that was not expected; the message has its last words."""


@dataclass
class Node:
    """One BATON_HOME with its commands, and its server while it runs."""

    home: Path
    port: int = 0
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take a free port and make the environment of all commands."""
        self.port = self.port or free_port()
        self.home.mkdir(parents=True, exist_ok=True)
        own = {
            "BATON_HOME": str(self.home),
            "BATON_GATES": str(GATES),
            "BATON_BIND": f"127.0.0.1:{self.port}",
        }
        self.environ = {**os.environ, **own, **self.environ}

    def run(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """Run `python -m …arguments --json`; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments, "--json"],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != expect:
            words = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise CommandFailed(f"{' '.join(arguments)}: exit {done.returncode}: {words}")
        return dict(json.loads(done.stdout))

    @contextmanager
    def serving(self, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server until the block ends; its log goes to a file."""
        with log.open("wb") as sink:
            server = subprocess.Popen(
                [sys.executable, "-m", "serving"],
                cwd=ROOT,
                env=self.environ,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
            )
            try:
                yield server
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(timeout=60)

    def ready(self, *, seconds: float) -> float:
        """Wait until the server is ready; returns how long that took, in seconds."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                with urllib.request.urlopen(self.url("/readyz"), timeout=2):  # noqa: S310 - ours
                    return time.monotonic() - begun
            except (OSError, urllib.error.URLError):
                time.sleep(0.02)
        raise CommandFailed(f"the server was not ready within {seconds:g} s")

    def follows(self, model: str, version: str, *, seconds: float) -> None:
        """Wait until the node serves `version`: one that just started serves its last one first."""
        deadline = time.monotonic() + seconds
        while self.call(f"/models/{model}").get("version") != version:
            if time.monotonic() > deadline:
                raise CommandFailed(f"the node does not serve {model} v{version} yet")
            time.sleep(0.05)

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET, or POST a JSON object; returns the decoded answer."""
        request = urllib.request.Request(  # noqa: S310 - ours
            self.url(path),
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - ours
            return dict(json.loads(response.read()))

    def url(self, path: str) -> str:
        """The address of a path on this node."""
        return f"http://127.0.0.1:{self.port}{path}"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
