"""The tables of the queue of jobs.

A change here comes with a new SCHEMA_VERSION, a step in `migrations/`, and, for a new table, its
lines in `migrations/jobs_grants.sql`. They may lie in the ledger's database: no name is used twice.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from registry.jobs import LIVE

SCHEMA_VERSION: Final = 2
COMPATIBLE_SINCE: Final = 1  # see `ledger_tables.py`

metadata = sa.MetaData()
schema = sa.Table(
    "baton_jobs_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("compatible_since", sa.Integer, nullable=False, server_default="0"),
)
jobs = sa.Table(
    "baton_jobs",
    metadata,
    # The order of the queue.
    sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("idempotency", sa.Text),
    sa.Column("digest", sa.String(64), nullable=False),
    # Up to a megabyte, for who does the job; and what of it is shown.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    # Counts claims: with the worker's name, who may still say something.
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("step", sa.Text),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("version", sa.Text),
    # For people; never compared.
    sa.Column("made_ms", sa.BigInteger, nullable=False),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("ended_ms", sa.BigInteger),
    sa.UniqueConstraint("owner", "idempotency"),
)
shown = [column for column in jobs.c if column.name != "body"]
is_live = jobs.c.state.in_([state.value for state in LIVE])
# What workers look at twice a second stays small, however many jobs have ended.
sa.Index("baton_jobs_live", jobs.c.n, postgresql_where=is_live, sqlite_where=is_live)
sa.Index("baton_jobs_of_owner", jobs.c.owner, jobs.c.n)
