"""Many series in one file, Parquet or CSV: a column `series` says whose row it is.

Rows of other series are filtered while the file is read, so that a process never holds more than
one series and a batch. A Parquet file that is sorted by series is read only where the series is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from registry.errors import DataInvalid, UsageError
from training.data.dataset import Dataset, Field, select

SERIES = "series"
SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class Table:
    """One file whose name ends with .parquet or .csv; the delimiter of a CSV file is a comma."""

    path: Path
    name: str = "table"

    def check(self, series: str) -> None:
        """Raise UsageError if there is no such file, or no series is named."""
        if not self.path.is_file() or self.path.suffix not in SUFFIXES:
            raise UsageError(f"file {self.path}: expected a file {' or '.join(SUFFIXES)}")
        if not series:
            raise UsageError(f"source table: expected one of the series in {self.path.name}")

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """The rows of one series in their order; raise DataInvalid if there are none."""
        self.check(series)
        origin = f"{self.path.name}, series {series}"
        raw = self._rows_of(series)
        if raw.empty:
            raise DataInvalid(f"{origin}: there is no row of this series")
        raw.index = pd.RangeIndex(1, len(raw) + 1)
        return Dataset(
            frame=select(raw, fields, origin=origin),
            name=series,
            source=self.name,
            credit=f"file {self.path.name}",
            origin=f"file {origin}",
        )

    def names(self) -> Iterator[str]:
        """Each series once, in the order of their first rows."""
        seen: set[str] = set()
        for batch in self._dataset().to_batches(columns=[SERIES]):
            for name in batch.column(0).unique().to_pylist():
                if name is None or not str(name).strip():
                    raise DataInvalid(f"{self.path.name}: a row has no {SERIES}")
                if str(name) not in seen:
                    seen.add(str(name))
                    yield str(name)

    def _rows_of(self, series: str) -> pd.DataFrame:
        import pyarrow  # noqa: PLC0415 - only for such files
        import pyarrow.dataset  # noqa: PLC0415 - as above

        rows = self._dataset()
        column = pyarrow.dataset.field(SERIES)
        # As it is where it is text: the file's statistics tell where a series is.
        if not pyarrow.types.is_string(rows.schema.field(SERIES).type):
            column = column.cast("string")
        try:
            found = rows.to_table(
                columns=[n for n in rows.schema.names if n != SERIES],
                filter=column == series,
                use_threads=False,
            )
        except (pyarrow.ArrowException, OSError) as error:
            raise DataInvalid(f"{self.path.name}: cannot be read: {error}") from error
        frame: pd.DataFrame = found.to_pandas()
        return frame

    def _dataset(self) -> Any:
        """The file, opened; raises DataInvalid for what is none of its form."""
        import pyarrow  # noqa: PLC0415 - as above
        import pyarrow.csv  # noqa: PLC0415 - as above
        import pyarrow.dataset  # noqa: PLC0415 - as above

        form: Any = "parquet"
        if self.path.suffix == ".csv":
            # Names as 007 are names, not numbers.
            options = pyarrow.csv.ConvertOptions(column_types={SERIES: pyarrow.string()})
            form = pyarrow.dataset.CsvFileFormat(convert_options=options)
        try:
            opened = pyarrow.dataset.dataset(self.path, format=form)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataInvalid(f"{self.path.name}: cannot be read: {error}") from error
        if SERIES not in opened.schema.names:
            there = ", ".join(opened.schema.names)
            raise DataInvalid(f"{self.path.name}: no column {SERIES!r}; there is: {there}")
        return opened
