"""What a version declares about joint calls: that requests of several clients may share one.

Written by `training` where it was measured to be worth it, read by serving. A member `batching` of
`bundle.json`: `{"max_rows": 32}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from registry.errors import BundleInvalid

MOST_ROWS = 4096
_KEYS = {"max_rows"}


@dataclass(frozen=True)
class Batching:
    """Up to `max_rows` rows of several requests go into one call."""

    max_rows: int

    def to_json(self) -> dict[str, Any]:
        """As written to `bundle.json`."""
        return {"max_rows": self.max_rows}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The reverse of `to_json`; raises BundleInvalid for anything else."""
        if not isinstance(data, dict) or data.keys() != _KEYS:
            raise BundleInvalid(f'bundle.json: batching: expected {{"max_rows": n}}, got {data!r}')
        rows = data["max_rows"]
        if type(rows) is not int or not 2 <= rows <= MOST_ROWS:
            raise BundleInvalid(
                f"bundle.json: batching.max_rows: expected a whole number from 2 to {MOST_ROWS}, "
                f"got {rows!r}"
            )
        return cls(rows)
