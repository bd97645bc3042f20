"""Both books of what was predicted and what came true, opened for who reads them."""

from __future__ import annotations

from typing import NamedTuple

from registry.outcomes import Outcomes
from registry.settings import Settings
from registry.sql_outcomes import open_outcomes
from registry.sql_predictions import SqlPredictions, open_log


class Books(NamedTuple):
    """The prediction log, and what came true, of one database."""

    log: SqlPredictions
    outcomes: Outcomes


def open_books(settings: Settings) -> Books:
    """Raises Unreachable, or SettingsError where none is kept."""
    return Books(open_log(settings), open_outcomes(settings))
