"""A real PostgreSQL with a real ledger in it, and what it costs: CPU, memory, bytes of its log."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks import driver
from benchmarks.processes import children, proportional_mb
from registry.bundle import FileDigest, Manifest
from registry.ledger import Entry, Route, Snapshot
from registry.model_version import Stage
from registry.sql_ledger import SqlLedger
from tests.postgres import Postgres

_TICKS = os.sysconf("SC_CLK_TCK")
_SETTLE_LOOKS, _SETTLE_SECONDS = 30, 1.0
_FILES = ("MLmodel", "model.onnx", "baton/bundle.json", "baton/golden.json", "baton/profile.json")


@dataclass(frozen=True)
class LedgerServer:
    """One server; its databases are one ledger each."""

    server: Postgres

    @classmethod
    @contextlib.contextmanager
    def running(cls, *, most_connections: int) -> Iterator[LedgerServer]:
        """Start it, with room for so many connections; end it with the block."""
        server = Postgres.start()
        try:
            own = cls(server)
            own.ask(server.new_database(), f"ALTER SYSTEM SET max_connections = {most_connections}")
            server.kill()
            server.restart()
            yield own
        finally:
            server.stop()

    def ledger(self, models: int) -> str:
        """The address of a new ledger with so many models, each with one entry that is synced."""
        url = self.server.new_database()
        ledger = SqlLedger(url.replace("postgresql://", "postgresql+psycopg2://"))
        for number in range(models):
            shown = Snapshot({1: Stage.PRODUCTION}, 1)
            ledger.mark_synced(promote(ledger, f"model-{number:04}"), shown)
        ledger.close()
        self.ask(url, "VACUUM ANALYZE")
        return url.replace("postgresql://", "postgresql+psycopg2://")

    def ask(self, url: str, statement: str) -> Any:
        """One statement outside of any transaction; its first value, if it has one."""
        connection = psycopg2.connect(url.replace("+psycopg2", ""))
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    @property
    def processes(self) -> list[int]:
        """The server's own: one a connection, and those that work for all."""
        return [self.server.process.pid, *children(self.server.process.pid)]

    def settle(self) -> None:
        """Wait until none of its processes begins or ends: an ended one's CPU is told in ticks."""
        for _ in range(_SETTLE_LOOKS):
            before = self.processes
            time.sleep(_SETTLE_SECONDS)
            if self.processes == before:
                return

    def cpu_seconds(self) -> float:
        """CPU that they have used: those that run to the microsecond, ended ones to 10 ms."""
        return sum(map(_cpu_seconds, self.processes)) + _of_ended(self.server.process.pid)

    def memory_mb(self) -> float:
        """Memory of all of them, each page divided by how many share it."""
        return sum(map(proportional_mb, self.processes))

    def log_bytes(self, url: str) -> int:
        """How much it has written into its log (WAL) so far."""
        return int(self.ask(url, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))


def promote(ledger: SqlLedger, model: str) -> Entry:
    """A new head of a model, with a manifest as a version of ours has one."""
    files = {name: FileDigest("0123456789abcdef" * 4, 100_000) for name in _FILES}
    manifest = Manifest(files)
    route = Route(
        version=1,
        created_ms=1,
        digest=manifest.digest,
        source=f"s3://mlflow/1/models/m-0123456789abcdef0123456789abcdef/artifacts/{model}",
        manifest=manifest,
    )
    return driver.append(ledger, model, route)


def _of_ended(pid: int) -> float:
    """CPU of the processes that it started and that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS


def _cpu_seconds(pid: int) -> float:
    """Of one process, by the scheduler's own count; 0 for one that ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e9
    return 0.0
