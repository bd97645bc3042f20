"""Puts a monitor's parts together, as the settings say; nothing else knows all of them."""

from __future__ import annotations

from pathlib import Path

from registry.books import open_books
from registry.client import MlflowRegistry
from registry.pairing import LoggedTruth
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from training.following.wired import following
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


def parts(settings: Settings) -> Parts:
    """Those of one monitor; raises SettingsError or Unreachable."""
    books = open_books(settings)
    rules = RulesFile.read(Path(settings.rules).expanduser() if settings.rules else None)
    tracking = Tracking(settings)
    client = MlflowRegistry(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)
    references = RegistryReferences(client, tracking)
    runs = WindowRuns(tracking) if settings.mlflow_log == "on" else None
    return Parts(
        log=books.log,
        references=references,
        rules=rules,
        page=Page(),
        live=Live(LoggedTruth(*books, Versions(client, tracking).facts)),
        runs=runs,
        nodes=LedgerNodes(SqlLedger(settings.ledger_url)),
        weekly=Weekly(books.log, references, rules, runs) if runs else None,
        follow=following(settings).step,
    )
