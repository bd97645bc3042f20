"""The tables of the prediction log.

A change here comes with a new SCHEMA_VERSION, a step in `migrations/`, and, for a new table, its
lines in `migrations/predictions_grants.sql`. They may lie in the ledger's database: no name is used
twice. On PostgreSQL records lie in one partition a day (UTC), which `baton_predictions_day` makes;
see docs/adr/0027.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA_VERSION: Final = 1
COMPATIBLE_SINCE: Final = 1  # see `ledger_tables.py`

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")

metadata = sa.MetaData()
schema = sa.Table(
    "baton_predictions_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("compatible_since", sa.Integer, nullable=False, server_default="0"),
)
# In the order of `predictions_rows.to_row`; what each is says `predictions.Prediction`.
predictions = sa.Table(
    "baton_predictions",
    metadata,
    # Of all partitions' keys the day has to be a part; of one prediction it is always the same.
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("attempt_of", sa.Text, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer),
    sa.Column("seq", sa.Integer),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("arm", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("latency_ms", sa.Float, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("inputs", _JSON, nullable=False),
    sa.Column("outputs", _JSON, nullable=False),
    sa.Column("confidence", sa.Float),
    sa.Column("last_known_price", sa.Float),
    sa.Column("data_points", sa.Integer),
    postgresql_partition_by="RANGE (day)",
)
_c = predictions.c
no_attempt: sa.ColumnElement[str] = sa.literal_column(
    "''"
)  # a literal: partial indexes are not found by a parameter
is_attempt = _c.attempt_of != no_attempt
# Who pages through a model's records, and who looks for the attempts of one prediction.
sa.Index("baton_predictions_of_model", _c.model, _c.time, _c.prediction_id)
sa.Index(
    "baton_predictions_attempts",
    _c.attempt_of,
    postgresql_where=is_attempt,
    sqlite_where=is_attempt,
)
positions = sa.Table(
    "baton_prediction_positions",
    metadata,
    sa.Column("spool", sa.Text, primary_key=True),
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("segment", sa.BigInteger, nullable=False),
    sa.Column("read_to", sa.BigInteger, nullable=False),
    # When it moved last: what is forgotten goes by it.
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)
refused = sa.Table(
    "baton_refused_predictions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),  # SHA-256 of the body
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

# Who ships records may make a day's partition, and no other change of a table: so it is the owner's
# function. ATTACH, unlike CREATE … PARTITION OF, waits for no reader and no writer.
_DAY = """
CREATE FUNCTION baton_predictions_day(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  part text := quote_ident(current_schema()) || '.' ||
    quote_ident('baton_predictions_' || to_char(day, 'YYYYMMDD'));
BEGIN
  PERFORM pg_advisory_xact_lock(1650553712);
  IF to_regclass(part) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE 'CREATE TABLE ' || part || ' (LIKE baton_predictions INCLUDING ALL)';
  EXECUTE 'ALTER TABLE baton_predictions ATTACH PARTITION ' || part ||
    ' FOR VALUES FROM (' || quote_literal(day) || ') TO (' || quote_literal(day + 1) || ')';
  RETURN true;
END $$
"""
# A whole day at once, for whoever may delete its records one by one. It waits for who reads them,
# and everybody behind it: not for long.
_DROP = """
CREATE FUNCTION baton_predictions_drop(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '3s' AS $$
DECLARE
  part text := quote_ident(current_schema()) || '.' ||
    quote_ident('baton_predictions_' || to_char(day, 'YYYYMMDD'));
BEGIN
  PERFORM pg_advisory_xact_lock(1650553712);
  IF to_regclass(part) IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE 'DROP TABLE ' || part;
  RETURN true;
END $$
"""
# What runs with the owner's rights looks for names in the owner's schema first.
_PATHS = """
DO $$
DECLARE one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['baton_predictions_day', 'baton_predictions_drop'] LOOP
    EXECUTE 'ALTER FUNCTION ' || one || '(date) SET search_path = ' ||
      quote_ident(current_schema()) || ', pg_temp';
  END LOOP;
END $$
"""
for _statement in (_DAY, _DROP, _PATHS):
    _ddl: Any = sa.DDL
    sa.event.listen(metadata, "after_create", _ddl(_statement).execute_if(dialect="postgresql"))
