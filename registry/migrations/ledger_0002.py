"""Leases count turns instead of looking at a clock; who held one asks again within a second."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    """What was held under the old rule is given up: see docs/adr/0006."""
    op.drop_table("baton_leases", if_exists=True)
    op.create_table(
        "baton_leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
