"""The queue of jobs says which older code may go on with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    """Its value is written when all steps are taken."""
    op.add_column(
        "baton_jobs_schema",
        sa.Column("compatible_since", sa.Integer, nullable=False, server_default="0"),
    )
