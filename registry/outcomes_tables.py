"""The tables of what came true: rows are added, never changed, and deleted with their prediction.

A change here comes with a new SCHEMA_VERSION, a step in `migrations/`, and, for a new table, its
lines in `migrations/outcomes_grants.sql`. They lie beside the prediction log: no name is used
twice.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

SCHEMA_VERSION: Final = 1
COMPATIBLE_SINCE: Final = 1  # see `ledger_tables.py`

metadata = sa.MetaData()
schema = sa.Table(
    "baton_outcomes_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("compatible_since", sa.Integer, nullable=False, server_default="0"),
)


def _told() -> tuple[sa.Column[Any], ...]:
    """A value and who told it. Of several revisions the highest stands."""
    return (
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Double),
        sa.Column("label", sa.Text),
        sa.Column("came_true", sa.Double, nullable=False),
        sa.Column("told_by", sa.Text, nullable=False),
        sa.Column("told", sa.Double, nullable=False),
    )


by_prediction = sa.Table(
    "baton_outcomes",
    metadata,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("row_index", sa.Integer, primary_key=True, autoincrement=False),
    *_told(),
)
by_date = sa.Table(
    "baton_outcomes_by_date",
    metadata,
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("date", sa.Text, primary_key=True),
    *_told(),
)
# What is looked at here of the prediction log (`predictions_tables.py`): a node may read no more.
asked = sa.table(
    "baton_predictions",
    *(sa.column(name) for name in ("prediction_id", "rows", "status", "time")),
)
sa.Index("baton_outcomes_told", by_prediction.c.told)
