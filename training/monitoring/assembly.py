"""Puts a monitor's parts together, as the settings say; nothing else knows all of them."""

from __future__ import annotations

from pathlib import Path

from registry.client import MlflowRegistry
from registry.pairing import LoggedTruth
from registry.predictions import PredictionLog
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.sql_outcomes import open_outcomes
from training.monitoring.health import LedgerNodes
from training.monitoring.live import Live
from training.monitoring.monitor import Parts
from training.monitoring.page import Page
from training.monitoring.reference import RegistryReferences
from training.monitoring.thresholds import RulesFile
from training.monitoring.truth import Truth
from training.monitoring.weekly import Weekly
from training.monitoring.window_run import WindowRuns
from training.tracking import Tracking
from training.versions import Versions


def parts(settings: Settings, log: PredictionLog, truth: Truth | None = None) -> Parts:
    """Those of one monitor; raises SettingsError or Unreachable."""
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
        live=Live(truth or _truth(settings, log, Versions(client, tracking))),
        runs=runs,
        nodes=LedgerNodes(SqlLedger(settings.ledger_url)),
        weekly=Weekly(log, references, rules, runs) if runs else None,
    )


def _truth(settings: Settings, log: PredictionLog, versions: Versions) -> Truth:
    """What feedback and `training actuals` said."""
    return LoggedTruth(log, open_outcomes(settings), versions.facts)
