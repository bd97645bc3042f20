"""One partition: rows of a Parquet file, and the file that is written of their answers.

Tables are read and answered a batch at a time, so that memory does not grow with the partition. A
row that the model does not take refuses the partition, naming row (1 is the file's first) and
column: an output either has an answer to each row, or is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from registry.errors import DataInvalid, RequestError, SignatureMismatch
from registry.signature import Array
from serving.batch import forecasts
from serving.batch.columns import array_of, empty
from serving.batch.versions import Versions
from serving.servable import Servable

# Rows of one call of an engine: its arrays stay in the processor's cache.
BATCH_ROWS = 16_384
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Partition:
    """Rows of the file at `path`: `rows` of them from `start` (0 is the first) on."""

    path: Path
    start: int
    rows: int

    def names(self) -> Sequence[str]:
        """The file's columns; raises DataInvalid if it cannot be read."""
        with self._opened() as file:
            return tuple(file.schema_arrow.names)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows with the number of the first of them (1 is the file's first)."""
        with self._opened() as file:
            groups, first = self._groups(file)
            at, end = first, self.start + self.rows
            read = file.iter_batches(
                BATCH_ROWS, row_groups=groups, columns=[*columns], use_threads=False
            )
            for batch in read:
                low, high = max(self.start - at, 0), min(end - at, batch.num_rows)
                if low < high:
                    yield at + low + 1, batch.slice(low, high - low)
                at += batch.num_rows

    def table(self, columns: Sequence[str]) -> pa.Table:
        """All its rows at once."""
        found = [batch for _, batch in self.batches(columns)]
        with self._opened() as file:
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
        return pa.Table.from_batches(found, schema)

    def _opened(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise DataInvalid(f"{self.path.name}: not a Parquet file: {error}") from error

    def _groups(self, file: pq.ParquetFile) -> tuple[list[int], int]:
        """The row groups with its rows, and the number of rows before them."""
        groups: list[int] = []
        first = at = 0
        for number in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(number).num_rows
            if at + size > self.start and at < self.start + self.rows:
                first = first if groups else at
                groups.append(number)
            at += size
        return groups, first


def score(versions: Versions, partition: Partition, output: Path) -> dict[str, Any]:
    """Answer every row into the new file `output`; how many rows were read and written.

    Raises RequestError naming row and column, BundleInvalid for the version, DataInvalid for a file
    that is none.
    """
    servable = versions.first
    if servable.kind == "forecast":
        return forecasts.score(versions, partition, output)
    return _tabular(servable, partition, output)


def _tabular(servable: Servable, partition: Partition, output: Path) -> dict[str, Any]:
    """A row for each row: the prediction, and the graph's other outputs beside it."""
    columns = {c.name: c for c in servable.signature.columns} if servable.signature else {}
    there = set(partition.names())
    for column in columns.values():
        if column.name not in there:
            column.missing(0)  # refused, unless it is optional
    read = [name for name in columns if name in there]
    rows, before = 0, servable.engine_seconds
    writer: pq.ParquetWriter | None = None
    try:
        for first, batch in partition.batches(read):
            arrays = {
                name: array_of(column, batch.column(name), first)
                if name in there
                else column.missing(batch.num_rows)
                for name, column in columns.items()
            }
            table = _answered(servable, arrays, first)
            writer = writer or _writer(output, table.schema)
            writer.write_table(table)
            rows += batch.num_rows
        if writer is None:
            one = {name: empty(column) for name, column in columns.items()}
            table = _answered(servable, one, 1).slice(0, 0)
            writer = _writer(output, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    spent = servable.engine_seconds - before
    return {"rows": rows, "written": rows, "engine_seconds": spent}


def _answered(servable: Servable, arrays: Mapping[str, Array], first: int) -> pa.Table:
    try:
        answer = servable.table(arrays)
    except RequestError as error:
        last = first + len(next(iter(arrays.values()))) - 1
        raise SignatureMismatch(
            f"rows {first} to {last}", expected="values that the model takes", got=str(error)
        ) from error
    outputs = {PREDICTIONS: answer["predictions"], **answer.get("outputs", {})}
    return pa.table({name: _column(values) for name, values in outputs.items()})


def _column(values: Any) -> pa.Array:
    """One output as a column; several numbers a row are a list of fixed length."""
    if isinstance(values, np.ndarray) and values.ndim > 1:
        flat = pa.array(values.reshape(-1))
        width = int(np.prod(values.shape[1:]))
        return pa.FixedSizeListArray.from_arrays(flat, width)
    return pa.array(values)


def _writer(output: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Numbers of a model hardly ever come twice: a dictionary of them would only take time."""
    texts = [f.name for f in schema if pa.types.is_string(f.type)]
    return pq.ParquetWriter(output, schema, use_dictionary=texts or False)
