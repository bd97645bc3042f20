"""Feedback's books, opened: what came true, and the prediction log it is held against."""

from __future__ import annotations

import importlib
from typing import cast

from registry.feedback import Books
from registry.predictions import PredictionLog
from registry.settings import Settings
from registry.sql_outcomes import open_outcomes


def open_books(settings: Settings) -> Books:
    """Both, of one database. Raises Unreachable, or SettingsError where none is kept."""
    return Books(open_outcomes(settings), _open_log(settings))


def _open_log(settings: Settings) -> PredictionLog:
    module = importlib.import_module("registry.sql_predictions")
    return cast("PredictionLog", module.open_log(settings))
