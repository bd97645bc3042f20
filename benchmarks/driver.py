"""Changing what a node serves, by its ledger: the node reads no registry, and neither does this.

MLflow is an address where nobody listens. Only `click.py` drives a node through MLflow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Load
from benchmarks.node import ROOT, Node
from benchmarks.versions import Versions
from registry.ledger import Door, Draft, Entry, EntryKind, Route
from registry.nudge import knock
from registry.sql_ledger import SqlLedger

MODEL = "linear"
READY_SECONDS = 60.0
STANDIN = Path(__file__).with_name("standin")


@dataclass(frozen=True)
class Swap:
    """One entry; `appended` is when the ledger had it, in seconds of `time.monotonic()`."""

    seq: int
    version: int
    kind: EntryKind
    appended: float


class Driver:
    """One node with a ledger of its own, and the versions that it is told to serve."""

    def __init__(
        self,
        home: Path,
        versions: Versions,
        *,
        model: str = MODEL,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing runs before `serving`."""
        temporary = home / "tmp"  # of its own: what it leaves there can be counted
        temporary.mkdir(parents=True)
        own = {
            "BATON_LEDGER_URL": f"sqlite:///{home / 'ledger.db'}",
            "BATON_WORKERS": "2",
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "TMPDIR": str(temporary),
            "PYTHONPATH": f"{STANDIN}:{ROOT}" if versions.sleep_seconds else str(ROOT),
        }
        self.node = Node(home, environ={**own, **(environ or {})})
        self.versions = versions
        self.model = model
        self.ledger = SqlLedger(own["BATON_LEDGER_URL"])
        self.log = home / "server.log"

    @contextmanager
    def serving(self, *, ready_seconds: float = READY_SECONDS) -> Iterator[int]:
        """Run the server until the block ends; gives its pid once it is ready."""
        with self.node.serving(log=self.log) as server:
            self.node.ready(seconds=ready_seconds)
            yield server.pid

    def load(self, rate: float, record: Path) -> Load:
        """A load on the model, spread over the workers."""
        workers = int(self.node.environ["BATON_WORKERS"])
        path = f"/models/{self.model}/predict"
        return Load(self.node.port, path, rate, record, workers=workers)

    def to(
        self,
        version: int,
        *,
        kind: EntryKind = EntryKind.PROMOTE,
        nudged: bool = True,
    ) -> Swap:
        """Append an entry, and knock as the command does unless the poll is to find it."""
        entry = append(self.ledger, self.model, self.versions.route(version), kind=kind)
        appended = time.monotonic()
        if nudged:
            knock(self.node.home / "node.sock")
        return Swap(entry.key.seq, version, kind, appended)


def append(
    ledger: SqlLedger, model: str, route: Route, *, kind: EntryKind = EntryKind.PROMOTE
) -> Entry:
    """Make `route` the head of a model."""
    draft = Draft(
        model=model,
        kind=kind,
        routes=(route,),
        actor="benchmark",
        door=Door.COMMAND,
        reason="measured",
    )
    now_ms = time.time_ns() // 1_000_000
    return ledger.append(draft, expected=ledger.head(model), at_ms=now_ms)
