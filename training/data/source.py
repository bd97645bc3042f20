"""The port every source of data stands behind, and the table of those that exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from registry.errors import UnknownName, UsageError
from training.data.csv import CsvFile
from training.data.dataset import Dataset, Field
from training.data.folder import Folder
from training.data.fundus import Fundus
from training.data.sample import Sample
from training.data.table import Table
from training.data.yahoo import Yahoo
from training.parameter import Values


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


_SOURCES: Mapping[str, Callable[[Path | None], Source]] = {
    "sample": lambda _: Sample(),
    "yahoo": lambda cache: Yahoo(cache=cache),
}
_FILED: Mapping[str, Callable[[Path], Source]] = {
    "csv": CsvFile,
    "folder": Folder,
    "table": Table,
}
NAMES = (*_SOURCES, *_FILED, "fundus")


def source(
    name: str,
    *,
    file: Path | None = None,
    params: Values | None = None,
    scratch: Path | None = None,
    cache: Path | None = None,
) -> Source:
    """The source called `name`. Raises UnknownName or UsageError.

    `csv` and `table` need the file and `folder` the directory; `fundus` draws as the workload's
    parameters `images`, `size` and `data_seed` say, into `scratch`. What is fetched is kept in
    `cache`.
    """
    if name in _FILED:
        if file is None:
            raise UsageError(f"source {name}: expected a file or directory; add --file PATH")
        return _FILED[name](file)
    if name == "fundus" and file is None:
        return _fundus(params or {}, scratch or Path("pictures"))
    if name not in NAMES:
        raise UnknownName("source", name, NAMES)
    if file is not None:
        raise UsageError(f"source {name}: takes no file; leave --file out or use --source csv")
    return _SOURCES[name](cache)


def _fundus(params: Values, scratch: Path) -> Source:
    """Raises UsageError for a workload that has no parameters for it."""
    wanted = ("images", "size", "data_seed")
    if missing := [name for name in wanted if name not in params]:
        raise UsageError(
            f"source fundus: draws pictures, and the workload has no parameter {missing[0]!r} that "
            "says how: use it with eye_disease"
        )
    images, size, seed = (int(params[name]) for name in wanted)
    return Fundus(folder=scratch, images=images, size=size, seed=seed)
