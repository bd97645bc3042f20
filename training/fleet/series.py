"""Which series a fleet has: the names, and where each of them is read from.

A file of the fleet is one of

    a table      .parquet or .csv, long form: columns series, ds, y (or what the workload reads)
    a directory  one CSV file a series, named after it
    a list       any other file: a series a line, of a source that knows them by name; `#` begins
                 a remark
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from registry.errors import UsageError
from training.data.table import SUFFIXES, Table


@dataclass(frozen=True, kw_only=True)
class SeriesFile:
    """The series of one file. `source` is None for a list that is read from the workload's own."""

    path: Path
    names: Sequence[str]
    source: str | None

    @classmethod
    def read(cls, path: Path, *, source: str | None) -> Self:
        """Find the names; raises UsageError if there are none, or one is there twice."""
        own, names = _found(path)
        if own is not None and source not in (None, own):
            raise UsageError(f"--source {source}: {path} is read as {own}; leave --source out")
        if not names:
            raise UsageError(f"{path}: expected at least one series, found none")
        if twice := [name for at, name in enumerate(names) if name in names[:at]][:1]:
            raise UsageError(f"{path}: series {twice[0]!r} is there twice")
        return cls(path=path.resolve(), names=names, source=own or source)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the names: whether a fleet that is resumed is still the same."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()

    def file_of(self, name: str) -> Path | None:
        """The file that a series is read from, if its source reads files."""
        if self.source == "csv":
            return self.path / f"{name}.csv"
        return self.path if self.source == "table" else None


def _found(path: Path) -> tuple[str | None, list[str]]:
    """The source that a file means by itself, and the series in it."""
    if path.is_dir():
        return "csv", sorted(file.stem for file in path.glob("*.csv"))
    if not path.is_file():
        raise UsageError(f"--series-file {path}: there is no such file or directory")
    if path.suffix in SUFFIXES:
        return "table", [*Table(path).names()]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: expected a list of names as UTF-8 text, or a file {' or '.join(SUFFIXES)}"
        ) from error
    stripped = (line.partition("#")[0].strip() for line in lines)
    return None, [name for name in stripped if name]
