"""Records as a Parquet file, written as they come: a window may hold more than memory should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from registry.predictions import Prediction

_BATCH = 2_000
_TEXTS = ("inputs", "outputs")
_TYPES = {
    "time": pa.float64(),
    "epoch": pa.int64(),
    "seq": pa.int64(),
    "status": pa.int64(),
    "latency_ms": pa.float64(),
    "rows": pa.int64(),
    "confidence": pa.float64(),
    "last_known_price": pa.float64(),
    "data_points": pa.int64(),
}
SCHEMA = pa.schema([(f.name, _TYPES.get(f.name, pa.string())) for f in fields(Prediction)])


class RecordFile:
    """An open file; `inputs` and `outputs` are JSON in it, everything else a column."""

    def __init__(self, writer: Any) -> None:
        """`writer` is pyarrow's."""
        self._writer = writer
        self._rows: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[RecordFile]:
        """A new file at `path`, whole at the end of the block."""
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            file = cls(writer)
            yield file
            file.flush()

    def add(self, record: Prediction) -> None:
        """One more."""
        row = {name: getattr(record, name) for name in SCHEMA.names}
        self._rows.append({**row, **{name: json.dumps(row[name]) for name in _TEXTS}})
        if len(self._rows) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []
