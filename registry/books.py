"""Both books of what was predicted and what came true, opened for who reads them."""

from __future__ import annotations

import importlib
from typing import NamedTuple, cast

from registry.outcomes import Outcomes
from registry.predictions import PredictionLog
from registry.settings import Settings
from registry.sql_outcomes import open_outcomes


class Books(NamedTuple):
    """The prediction log, and what came true, of one database."""

    log: PredictionLog
    outcomes: Outcomes


def open_books(settings: Settings) -> Books:
    """Raises Unreachable, or SettingsError where none is kept."""
    return Books(_open_log(settings), open_outcomes(settings))


def _open_log(settings: Settings) -> PredictionLog:
    module = importlib.import_module("registry.sql_predictions")
    return cast("PredictionLog", module.open_log(settings))
