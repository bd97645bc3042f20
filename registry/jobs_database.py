"""The database of the queue of jobs: what is kept there, under which variable."""

from __future__ import annotations

from typing import Final

from registry import jobs_tables as tables
from registry.database import Kept
from registry.schema import Schema

KEPT: Final = Kept(
    "queue of jobs",
    "BATON_JOBS_URL",
    Schema(
        part="jobs",
        newest=tables.SCHEMA_VERSION,
        since=tables.COMPATIBLE_SINCE,
        metadata=tables.metadata,
        row=tables.schema,
        number_column=tables.schema.c.version,
        since_column=tables.schema.c.compatible_since,
    ),
)
