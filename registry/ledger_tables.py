"""The tables of the ledger.

A change here comes with a new SCHEMA_VERSION, a step in `migrations/`, and, for a new table, its
lines in `migrations/ledger_grants.sql`.
"""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 3
# The oldest SCHEMA_VERSION whose code can go on with these tables, reading and writing: that of the
# release before, while it is still running somewhere. Docs: databases.md, "Upgrades".
COMPATIBLE_SINCE = 2
CHANNEL = "baton"  # where PostgreSQL says that something was appended

metadata = sa.MetaData()
ledger = sa.Table(
    "baton_ledger",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("compatible_since", sa.Integer, nullable=False, server_default="0"),
)
entries = sa.Table(
    "baton_entries",
    metadata,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("routes", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("report", sa.String(36)),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("snapshot", sa.Text),
    sa.UniqueConstraint("model", "epoch", "seq"),
)
heads = sa.Table(
    "baton_heads",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, unique=True),
)
reports = sa.Table(
    "baton_reports",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
leases = sa.Table(
    "baton_leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("turn", sa.BigInteger, nullable=False),
)
nodes = sa.Table(
    "baton_node_status",
    metadata,
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
