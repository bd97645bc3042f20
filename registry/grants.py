"""What PostgreSQL's roles of the stack may do with our tables: `migrations/<part>_grants.sql`.

A server without these roles has nothing to grant. Called by `database.py` in the transaction that
makes or changes tables, so that no table is ever there without its grants.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import sqlalchemy as sa

# Made by infra/postgres/roles.sh.
ROLES: Final = ("baton_node", "baton_worker", "baton_writer")
# Of whom some parts' files speak besides: a server of before this role grants the others as ever.
_MORE: Final[Mapping[str, tuple[str, ...]]] = {
    "predictions": ("baton_log",),
    "outcomes": ("baton_log",),
}
_FOLDER: Final = Path(__file__).with_name("migrations")


def roles(part: str) -> tuple[str, ...]:
    """Those of whom `part`'s file speaks."""
    return (*ROLES, *_MORE.get(part, ()))


def grant(connection: sa.Connection, part: str) -> tuple[str, ...]:
    """Grant `part`'s tables as its file says; the roles, none where the server lacks one of them.

    What the file no longer grants is taken away.
    """
    if connection.dialect.name != "postgresql":
        return ()
    wanted = roles(part)
    known = sa.text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:names)")
    if connection.scalar(known, {"names": list(wanted)}) != len(wanted):
        return ()
    connection.exec_driver_sql(grants_file(part).read_text(encoding="utf-8"))
    return wanted


def grants_file(part: str) -> Path:
    """Where it says who may do what with `part`'s tables."""
    return _FOLDER / f"{part}_grants.sql"
