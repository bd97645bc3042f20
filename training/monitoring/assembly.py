"""Puts a monitor's parts together, as the settings say; nothing else knows all of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from registry.client import MlflowRegistry
from registry.monitoring import Monitoring
from registry.outcomes import Outcomes
from registry.pairing import LoggedTruth
from registry.predictions_database import address
from registry.predictions_parquet import export, place
from registry.retention import forget
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.sql_predictions import SqlPredictions
from training.following.actor import Following
from training.following.wired import following
from training.monitoring.consequences import Cause, Export, Parquet, Retention
from training.monitoring.health import LedgerNodes
from training.monitoring.live import Live
from training.monitoring.monitor import Parts
from training.monitoring.page import Page
from training.monitoring.reference import RegistryReferences
from training.monitoring.thresholds import RulesFile
from training.monitoring.weekly import Weekly
from training.monitoring.window_run import WindowRuns
from training.tracking import Tracking
from training.versions import Versions

# As `python -m registry predictions export`: late records are for hours that are over.
_EXPORTED_SECONDS = 2 * 86_400.0


def parts(settings: Settings, log: SqlPredictions, outcomes: Outcomes) -> Parts:
    """Those of one monitor; raises SettingsError or Unreachable."""

    @functools.cache
    def follower() -> Following:  # opened when it is needed: policies may ask for nothing
        return following(settings)

    def follow(causes: Sequence[Cause]) -> None:
        follower().step(causes)

    rules = RulesFile.read(Path(settings.rules).expanduser() if settings.rules else None)
    tracking = Tracking(settings)
    client = MlflowRegistry(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)
    references = RegistryReferences(client, tracking)
    runs = WindowRuns(tracking) if settings.mlflow_log == "on" else None
    return Parts(
        log=log,
        references=references,
        rules=rules,
        page=Page(),
        live=Live(LoggedTruth(log, outcomes, Versions(client, tracking).facts)),
        runs=runs,
        nodes=LedgerNodes(SqlLedger(settings.ledger_url)),
        weekly=Weekly(log, references, rules, runs) if runs else None,
        follow=follow,
        parquet=Parquet(_export(settings, log)) if settings.predictions_parquet else None,
        retention=Retention(
            log,
            Monitoring.read(settings.monitoring),
            lambda days, now: forget(address(settings), days, otherwise=None, now=now),
        ),
    )


def _export(settings: Settings, log: SqlPredictions) -> Export:
    """Writes the hours of the last two days that are over and are not whole there yet."""
    store = place(settings)
    return lambda now: export(log, store, since=now - _EXPORTED_SECONDS, now=now)
