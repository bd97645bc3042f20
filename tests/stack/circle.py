"""An embedded Baton with all that closes the circle: node, monitor and worker, as processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.node import free_port
from registry.jobs import Job
from registry.ledger import Entry
from registry.process import die_with_parent
from registry.sql_jobs import SqlJobs
from registry.sql_predictions import SqlPredictions
from tests.servingfakes.node import ROOT, Node
from training.following.actor import owner

# Of everything that is waited for: a training on two processors that have other work too.
_PATIENCE_SECONDS = 600


@dataclass
class Circle:
    """One home, the environment of all who work on it, and what they said."""

    root: Path
    model: str
    window_seconds: float
    gates: str
    rules: str
    monitor: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    def __post_init__(self) -> None:
        self.home, self.data = self.root / "home", self.root / "data"
        self.home.mkdir()
        self.data.mkdir()
        (self.root / "gates.toml").write_text(self.gates, encoding="utf-8")
        (self.root / "rules.toml").write_text(self.rules, encoding="utf-8")
        self.node = Node(self.home, environ=self.settings)
        self.queue = SqlJobs(f"sqlite:///{self.home / 'jobs.db'}")

    @property
    def settings(self) -> dict[str, str]:
        return {
            "BATON_HOME": str(self.home),
            "BATON_DATA": str(self.data),
            "BATON_GATES": str(self.root / "gates.toml"),
            "BATON_RULES": str(self.root / "rules.toml"),
            "BATON_WINDOW_SECONDS": str(self.window_seconds),
            "BATON_MONITOR_BIND": self.monitor,
            "BATON_ENVIRONMENT": "test",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.home / 'mlflow.db'}",
            "TF_NUM_INTRAOP_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def environ(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        return {**own, **self.settings}

    def command(self, *arguments: str) -> dict[str, Any]:
        """`python -m …arguments --json`, as a person types it."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments, "--json"],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr[-4000:]}"
        return dict(json.loads(done.stdout))

    @contextlib.contextmanager
    def service(self, name: str) -> Iterator[None]:
        """`python -m training NAME`, while the block lasts; it ends by itself when it is told."""
        with (self.root / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "training", name],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
            )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, self.said()
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        self.node.start()
        try:
            self.until(lambda: self.serves() == "1", "version 1 serves")
            yield
        finally:
            assert self.node.stop() == 0, self.said()

    def serves(self) -> str:
        """The version that the node answers with."""
        with contextlib.suppress(OSError):
            said = self.node.ask("GET", f"/models/{self.model}")
            return str(said.json.get("version", "")) if said.status == 200 else ""
        return ""

    def jobs(self) -> list[Job]:
        """Those that nobody asked for."""
        return [*self.queue.newest(owner(self.model), most=10)]

    def head(self) -> Entry:
        found = self.node.ledger.head(self.model)
        assert found
        return found

    def logged(self) -> Counter[str]:
        """How many pictures of which version are in the prediction log."""
        log = SqlPredictions(f"sqlite:///{self.home / 'predictions.db'}")
        found: Counter[str] = Counter()
        for record in log.predictions(self.model, 0, time.time()):
            found[record.version] += record.rows
        log.close()
        return found

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Wait for something to become true; returns it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if found := done():
                return found
            time.sleep(0.5)
        raise AssertionError(f"{what}: not within {_PATIENCE_SECONDS} s\n{self.said()}")

    def said(self) -> str:
        """The ends of all logs."""
        logs = {path.name: path.read_text("utf-8", "replace") for path in self.root.glob("*.log")}
        logs["server.log"] = self.node.log()
        jobs = "\n".join(str(job.to_json()) for job in self.jobs())
        return jobs + "".join(f"\n--- {name}\n{text[-3000:]}" for name, text in logs.items())
