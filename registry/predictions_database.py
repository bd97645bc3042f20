"""The database of the prediction log: what is kept there, under which variable, and where."""

from __future__ import annotations

from typing import Final

from registry import database_urls
from registry import predictions_tables as tables
from registry.database import Kept
from registry.errors import SettingsError
from registry.schema import Schema
from registry.settings import Settings

OFF: Final = "off"
KEPT: Final = Kept(
    "prediction log",
    "BATON_PREDICTIONS_URL",
    Schema(
        part="predictions",
        newest=tables.SCHEMA_VERSION,
        since=tables.COMPATIBLE_SINCE,
        metadata=tables.metadata,
        row=tables.schema,
        number_column=tables.schema.c.version,
        since_column=tables.schema.c.compatible_since,
    ),
)


def is_kept(settings: Settings) -> bool:
    """Whether there is a prediction log."""
    return settings.predictions_url != OFF


def address(settings: Settings) -> str:
    """Where it is: by default a file of its own. Raises SettingsError where there is none."""
    if not is_kept(settings):
        raise SettingsError("BATON_PREDICTIONS_URL: is off, so there is no prediction log")
    given = database_urls.driver(settings.predictions_url)
    return given or f"sqlite:///{settings.home.expanduser().resolve() / 'predictions.db'}"
