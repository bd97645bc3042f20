"""The history of our tables: one module a step, `<part>_<number>.py`, written with Alembic.

A step brings tables of the number before to its own, in a transaction of its caller's, on sqlite
and on PostgreSQL. It says all of it itself: the definitions of today (`ledger_tables.py`,
`jobs_tables.py`) are no longer those of its time. Imported only where older tables are met; who may
do what with them is in `<part>_grants.sql`. See docs/adr/0022.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations


def apply(connection: sa.Connection, part: str, numbers: Iterable[int]) -> None:
    """Take the steps `numbers` of `part`, in this order."""
    operations = Operations(MigrationContext.configure(connection))
    for number in numbers:
        importlib.import_module(f"{__name__}.{part}_{number:04d}").upgrade(operations)
