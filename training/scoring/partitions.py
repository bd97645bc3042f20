"""The partitions of an input: its files in the order of their names, large ones in parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from registry.errors import DataInvalid
from training.scoring.stores import Found, Store


@dataclass(frozen=True, kw_only=True)
class Partition:
    """`rows` rows of the file `name` from `start` (0 is the first) on; the `index`-th of all."""

    index: int
    name: str
    start: int
    rows: int
    identity: str

    @property
    def output(self) -> str:
        """The name of what comes of it."""
        return f"part-{self.index:05}.parquet"

    def to_json(self) -> dict[str, Any]:
        """What tells it from what may have had its place before."""
        return dataclasses.asdict(self)


def partitions(store: Store, *, most_rows: int) -> Iterator[Partition]:
    """Every file, in parts of `most_rows` rows where it has more; an empty file is a partition.

    Raises DataInvalid naming a file that is not Parquet.
    """
    index = 0
    for found in store.tables():
        rows = _rows(store, found)
        for start in range(0, max(rows, 1), most_rows):
            yield Partition(
                index=index,
                name=found.name,
                start=start,
                rows=min(most_rows, rows - start),
                identity=found.identity,
            )
            index += 1


def _rows(store: Store, found: Found) -> int:
    """How many rows its footer says it has."""
    import pyarrow  # noqa: PLC0415 - only where it is used
    import pyarrow.parquet  # noqa: PLC0415 - as above

    try:
        return int(pyarrow.parquet.read_metadata(store.opened(found.name)).num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataInvalid(f"{found.name}: not a Parquet file: {error}") from error
