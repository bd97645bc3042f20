"""A CSV file: read line by line, so that a broken one is refused by its line number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from registry.errors import DataInvalid, UsageError
from training.data.dataset import Dataset, Field, select

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class CsvFile:
    """One file with a header line; the delimiter is a comma, semicolon or tab."""

    path: Path
    name: str = "csv"

    def check(self, series: str) -> None:  # noqa: ARG002 - the port's signature
        """Raise UsageError if there is no file; any name for its content will do."""
        if not self.path.is_file():
            raise UsageError(f"file {self.path}: there is no such file")

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Read the file; raise DataInvalid naming it and the line."""
        return Dataset(
            frame=select(self._raw(), fields, origin=self.path.name),
            name=series or self.path.stem,
            source=self.name,
            credit=f"file {self.path.name}",
            origin=f"file {self.path.name}",
        )

    def _raw(self) -> pd.DataFrame:
        """All cells as text, indexed by line number; an empty cell is missing."""
        header, *rows = self._lines() or [(1, [])]
        columns = [cell.strip() for cell in header[1]]
        if not any(columns):
            raise DataInvalid(f"{self.path.name}, row 1: the file is empty; expected a header line")
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise DataInvalid(f"{self.path.name}, row 1: column {twice[0]!r} is there twice")
        for line, cells in rows:
            if len(cells) != len(columns):
                raise DataInvalid(
                    f"{self.path.name}, row {line}: expected {len(columns)} values, "
                    f"got {len(cells)}"
                )
        if not rows:
            raise DataInvalid(f"{self.path.name}, row 2: no data after the header line")
        table = [[cell.strip() or None for cell in row] for _, row in rows]
        return pd.DataFrame(table, columns=columns, index=[line for line, _ in rows], dtype=object)

    def _lines(self) -> list[tuple[int, list[str]]]:
        """Every line that is not blank with its number."""
        line = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                first = file.readline()
                file.seek(0)
                delimiter = max(_DELIMITERS, key=first.count)
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                out = []
                for cells in reader:
                    line = reader.line_num
                    if cells:
                        out.append((line, cells))
                return out
        except csv.Error as error:
            raise DataInvalid(f"{self.path.name}, row {line + 1}: {error}") from error
        except UnicodeDecodeError as error:
            raise DataInvalid(f"{self.path.name}, row {line + 1}: not UTF-8 text") from error
        except OSError as error:
            raise DataInvalid(f"{self.path}: cannot be read: {error.strerror}") from error
