"""Puts a monitor's parts together, as the settings say; nothing else knows all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from registry.books import open_books
from registry.client import MlflowRegistry
from registry.monitoring import Monitoring
from registry.pairing import LoggedTruth
from registry.predictions_database import address
from registry.predictions_parquet import export, place
from registry.retention import forget
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.sql_predictions import SqlPredictions
from training.following.wired import following
from training.monitoring.health import LedgerNodes
from training.monitoring.live import Live
from training.monitoring.monitor import Parts
from training.monitoring.page import Page
from training.monitoring.reference import RegistryReferences
from training.monitoring.thresholds import RulesFile
from training.monitoring.upkeep import Parquet, Retention
from training.monitoring.weekly import Weekly
from training.monitoring.window_run import WindowRuns
from training.tracking import Tracking
from training.versions import Versions

# As `python -m registry predictions export`: late records are of hours that are over.
_EXPORTED_SECONDS = 2 * 86_400.0


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
        upkeep=(*_exports(settings, books.log), _retention(settings, books.log).kept),
    )


def _exports(settings: Settings, log: SqlPredictions) -> Iterator[Callable[[float], None]]:
    """Files of the hours of the last two days, if there is a place for them."""
    if settings.predictions_parquet:
        store = place(settings)
        yield Parquet(
            lambda now: export(log, store, since=now - _EXPORTED_SECONDS, now=now)
        ).written


def _retention(settings: Settings, log: SqlPredictions) -> Retention:
    return Retention(
        log,
        Monitoring.read(settings.monitoring),
        lambda days, now: forget(address(settings), days, otherwise=None, now=now),
    )
