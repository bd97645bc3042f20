"""The database of what came true: that of the prediction log, whose address it shares."""

from __future__ import annotations

from typing import Final

from registry import outcomes_tables as tables
from registry.database import Kept
from registry.schema import Schema

KEPT: Final = Kept(
    "store of outcomes",
    "BATON_PREDICTIONS_URL",
    Schema(
        part="outcomes",
        newest=tables.SCHEMA_VERSION,
        since=tables.COMPATIBLE_SINCE,
        metadata=tables.metadata,
        row=tables.schema,
        number_column=tables.schema.c.version,
        since_column=tables.schema.c.compatible_since,
    ),
)
