"""The port every source of data stands behind, and the table of those that exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from registry.errors import UnknownName, UsageError
from training.data.csv import CsvFile
from training.data.dataset import Dataset, Field
from training.data.sample import Sample
from training.data.yahoo import Yahoo


class Source(Protocol):
    """Something that data can be read from."""

    @property
    def name(self) -> str:
        """As in the tag `data_source`."""
        ...

    def check(self, series: str) -> None:
        """Raise UnknownName, without reading anything, for a series that cannot exist."""
        ...

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Read a series; raise DataInvalid for what cannot be understood."""
        ...


_SOURCES: Mapping[str, Callable[[], Source]] = {"sample": Sample, "yahoo": Yahoo}
NAMES = (*_SOURCES, "csv")


def source(name: str, *, file: Path | None = None) -> Source:
    """The source called `name`; `csv` needs the file. Raises UnknownName or UsageError."""
    if name == "csv":
        if file is None:
            raise UsageError("source csv: expected a file; add --file PATH")
        return CsvFile(file)
    if name not in _SOURCES:
        raise UnknownName("source", name, NAMES)
    if file is not None:
        raise UsageError(f"source {name}: takes no file; leave --file out or use --source csv")
    return _SOURCES[name]()
