"""A registrar at work, over MLflow's own registry and a real ledger: it leaves what is worse."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.fence import fenced
from registry.lease import Lease
from registry.ledger import Door, Entry, EntryKind
from registry.model_version import ModelVersion
from registry.nudge import Bell, knock
from registry.policy import GatesFile
from registry.promotion import REJECTED_TAG, Ports, promote
from registry.registrar import Registrar
from registry.sentry import Sentry
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.contract.registries import OnSqlite
from tests.fakes import FakeTrial, write_bundle
from tests.fakes.counts import FakeCounts
from tests.fakes.packager import FakePackager

PATIENCE_SECONDS = 60.0
# The goal is 2 s on a machine of its own; tests share theirs.
LEFT_SECONDS = 10.0
POLL_SECONDS = 1.0
MODEL = "iris"


class Registry:
    """MLflow, a ledger, and a registrar that runs on a thread with a sentry over `counts`."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.counts = settings, FakeCounts()
        self.mlflow = OnSqlite(settings)
        self.ledger = SqlLedger(settings.ledger_url)
        self.ports = Ports(
            client=self.mlflow.client,
            ledger=self.ledger,
            trial=FakeTrial(),
            packager=FakePackager(self.mlflow.client, settings.home),
            gates=GatesFile("g" * 64),
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        self.bell = Bell(settings.registrar_socket)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="registrar", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        lease = Lease(self.ledger)
        sentry = Sentry(self.counts, ledger=self.ledger, gates=self.ports.gates, knock=self.knock)
        registrar = Registrar(fenced(self.ports, lease), announce=lambda: None, sentry=sentry)
        registrar.run(lease, self.bell, self.stop, poll_seconds=POLL_SECONDS)

    def knock(self) -> None:
        knock(self.settings.registrar_socket)

    def head(self) -> Entry:
        head = self.ledger.head(MODEL)
        assert head is not None
        return head

    def serve(self, content: str) -> ModelVersion:
        """A new version in Production, as MLflow shows it."""
        source = write_bundle(self.settings.home / content, content=content)
        version = self.mlflow.register(MODEL, source, metrics={"accuracy": 0.9})
        promote(self.ports, version, actor="ada")
        self.knock()
        eventually(lambda: self.head().snapshot is not None)
        return version

    def close(self) -> None:
        self.stop.set()
        self.counts.go_on.set()
        self.knock()
        self.thread.join(PATIENCE_SECONDS)
        self.bell.close()
        self.ledger.close()


def eventually(what: Callable[[], bool]) -> float:
    """How many seconds it took until it was so."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < PATIENCE_SECONDS
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.fixture
def registry(embedded: Settings) -> Iterator[Registry]:
    made = Registry(embedded)
    yield made
    made.close()


@pytest.fixture
def two(registry: Registry) -> Registry:
    """v2 has just taken the place of v1, which failed in 5 % of 20,000 requests."""
    registry.serve("first")
    registry.counts.errors(MODEL, (1, 1), bad=1_000, of=20_000)
    registry.serve("second")
    return registry


def test_a_worse_version_is_left_and_mlflow_shows_the_one_before(two: Registry) -> None:
    two.counts.errors(MODEL, (1, 2), bad=60, of=300)
    took = eventually(lambda: two.head().kind is EntryKind.ROLLBACK)
    sys.stdout.write(f"left {took:.2f} s after the evidence\n")
    assert took < LEFT_SECONDS
    head = two.head()
    assert (head.door, head.route and head.route.version) == (Door.WATCH, 1)
    eventually(lambda: two.head().snapshot is not None)
    shown = two.mlflow.client.snapshot(MODEL)
    assert (set(shown.production), shown.alias) == ({1}, 1)
    tags = two.mlflow.client.version(MODEL, 2).tags
    assert tags[REJECTED_TAG] == head.reason
    assert "60 of 300 (20.0%) requests failed" in head.reason


def test_a_version_that_is_no_worse_stays(two: Registry) -> None:
    two.counts.errors(MODEL, (1, 2), bad=50, of=1_000)
    looks = two.counts.looks
    eventually(lambda: two.counts.looks > looks + 2)
    assert two.head().key.seq == 2


def test_a_log_that_hangs_keeps_no_click_waiting(two: Registry, tmp_path: Path) -> None:
    two.counts.go_on.clear()
    looks = two.counts.looks
    eventually(lambda: two.counts.looks > looks)
    source = write_bundle(tmp_path / "third", content="third")
    third = two.mlflow.register(MODEL, source, metrics={"accuracy": 0.9})
    two.mlflow.raw.transition_model_version_stage(MODEL, str(third.version), "Production")
    two.knock()
    eventually(lambda: two.head().door is Door.MLFLOW)
