"""The ledger's database: its tables, made on first use and brought up to this code's schema."""

from __future__ import annotations

import uuid
from typing import Final

import sqlalchemy as sa

from registry import ledger_tables as tables
from registry.database import Kept

KEPT: Final = Kept("ledger", "BATON_LEDGER_URL")
reaching = KEPT.reaching


def open_database(url: str) -> sa.Engine:
    """The engine, its tables made; Unreachable, or SettingsError for a URL that is none."""
    return KEPT.open(url, _make_tables)


def _make_tables(connection: sa.Connection) -> None:
    """Make what is missing, bring an older schema up to this code's, refuse a newer one."""
    tables.ledger.create(connection, checkfirst=True)
    row = connection.execute(sa.select(tables.ledger)).first()
    if row:
        KEPT.check_schema(row.schema_version, tables.SCHEMA_VERSION)
    if row and row.schema_version < tables.SCHEMA_VERSION:
        # Schema 1 kept leases by the clock; who held one asks again within a second.
        tables.leases.drop(connection, checkfirst=True)
        connection.execute(sa.update(tables.ledger).values(schema_version=tables.SCHEMA_VERSION))
    tables.metadata.create_all(connection)
    if row is None:
        connection.execute(
            sa.insert(tables.ledger).values(
                id=str(uuid.uuid4()),
                schema_version=tables.SCHEMA_VERSION,
                epoch=1,
                revision=0,
            )
        )
