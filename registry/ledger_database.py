"""The ledger's database: what is kept there, under which variable."""

from __future__ import annotations

import uuid
from typing import Final

from registry import ledger_tables as tables
from registry.database import Kept
from registry.schema import Schema

_c = tables.ledger.c
KEPT: Final = Kept(
    "ledger",
    "BATON_LEDGER_URL",
    Schema(
        part="ledger",
        newest=tables.SCHEMA_VERSION,
        since=tables.COMPATIBLE_SINCE,
        metadata=tables.metadata,
        row=tables.ledger,
        number_column=_c.schema_version,
        since_column=_c.compatible_since,
        first=lambda: {_c.id: str(uuid.uuid4()), _c.epoch: 1, _c.revision: 0},
    ),
)
open_database = KEPT.open
reaching = KEPT.reaching
