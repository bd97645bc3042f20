"""The composition root of commands and registrar: settings in, ports out."""

from __future__ import annotations

import time

from registry.client import MlflowRegistry
from registry.packager import SubprocessPackager
from registry.policy import GatesFile
from registry.promotion import Ports
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.trial import SubprocessTrial


def ports(settings: Settings) -> Ports:
    """The real adapters; the gates file is read first, so that a wrong one costs no time."""
    gates = GatesFile.read(settings.gates)
    return Ports(
        client=MlflowRegistry(
            tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
        ),
        ledger=SqlLedger(settings.ledger_url),
        trial=trial(settings),
        packager=SubprocessPackager(seconds=settings.fetch_seconds + settings.package_seconds),
        gates=gates,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


def trial(settings: Settings) -> SubprocessTrial:
    """The trial, with this machine's limits."""
    return SubprocessTrial(
        seconds=settings.trial_seconds,
        memory_mb=settings.trial_memory_mb,
        engines=settings.engines,
    )
