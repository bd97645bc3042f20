"""Rows that ask a forecast: how far, or for which dates.

    horizon            a row asks for so many days; the answer has a row for each of them, with the
                       number of the row that asked (`row`)
    ds, and what the   a row asks for its date, and is answered by one row; all rows of a series
    model needs        together are one request, as `{"future": […]}` would be

With many models (a fleet), a column `series` says which one a row asks; it is in the answer too.
Each request is answered by `Servable.predict`, as over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from registry.errors import RequestError, SignatureMismatch
from registry.signature import Array, Column
from serving.batch.columns import array_of
from serving.batch.versions import Versions
from serving.servable import Servable

if TYPE_CHECKING:
    from serving.batch.partition import Partition

HORIZON, DATE, SERIES = "horizon", "ds", "series"
_VALUES = ("yhat", "yhat_lower", "yhat_upper")


def score(versions: Versions, partition: Partition, output: Path) -> dict[str, Any]:
    """Answer every row into the new file `output`; how many rows were read and written.

    Raises RequestError naming the row.
    """
    there = partition.names()
    asks = (HORIZON,) if HORIZON in there else tuple(_columns(versions.first))
    table = partition.table(_needed(there, [SERIES, *asks] if versions.is_fleet else asks))
    answer = (_horizons if asks == (HORIZON,) else _dates)(versions, table, partition.start + 1)
    pq.write_table(answer, output)
    return {"rows": table.num_rows, "written": answer.num_rows}


def _columns(servable: Servable) -> Mapping[str, Column]:
    """The columns of a row that asks for a date."""
    assert servable.signature is not None
    return {column.name: column for column in servable.signature.columns}


def _needed(there: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in there:
            raise SignatureMismatch(
                f"column {name}",
                expected=f"{HORIZON}, or {DATE} and what the model needs",
                got=f"columns {', '.join(there)}",
            )
    return names


def _horizons(versions: Versions, table: pa.Table, first: int) -> pa.Table:
    """The next days of each row's model."""
    horizons = array_of(Column(HORIZON, "long"), _whole(table, HORIZON), first).tolist()
    series = _series(versions, table, first)
    answers = _Answers(rows=True, series=versions.is_fleet)
    for at, (name, horizon) in enumerate(zip(series, horizons, strict=True)):
        asked = {HORIZON: horizon}
        answers.add(first + at, name, _asked(versions, name, asked, f"row {first + at:,}"))
    return answers.table()


def _dates(versions: Versions, table: pa.Table, first: int) -> pa.Table:
    """Each row's own date; the rows of a series may lie anywhere."""
    columns = _columns(versions.first)
    arrays = {n: array_of(c, _whole(table, n), first) for n, c in columns.items()}
    series = _series(versions, table, first)
    rows: list[Any] = [None] * len(series)
    for places in _places(series):
        name = series[int(places[0])]
        asked = {"future": _future({n: array[places] for n, array in arrays.items()})}
        where = f"rows {first + int(places[0]):,} to {first + int(places[-1]):,}"
        for place, row in zip(places, _asked(versions, name, asked, where), strict=True):
            rows[place] = row
    answers = _Answers(rows=False, series=versions.is_fleet)
    for at, row in enumerate(rows):
        answers.add(first + at, series[at], [row])
    return answers.table()


def _places(series: Sequence[str]) -> Sequence[Array]:
    """Where the rows of each series are, in their order."""
    _, which = np.unique(np.array(series, dtype=str), return_inverse=True)
    order = np.argsort(which, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(which[order])) + 1) if len(series) else []


def _future(arrays: Mapping[str, Array]) -> list[Mapping[str, object]]:
    """Rows as a request brings them: dates as texts, numbers and flags as they are."""
    columns = [
        (np.datetime_as_string(array) if array.dtype.kind == "M" else array).tolist()
        for array in arrays.values()
    ]
    return [dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True)]


def _series(versions: Versions, table: pa.Table, first: int) -> list[str]:
    """Each row's series; empty for all where one version answers every row."""
    if not versions.is_fleet:
        return [""] * table.num_rows
    values = _whole(table, SERIES)
    if pa.types.is_integer(values.type):
        values = values.cast(pa.string())
    return [str(name) for name in array_of(Column(SERIES, "string"), values, first)]


def _asked(
    versions: Versions, name: str, body: Mapping[str, Any], where: str
) -> Sequence[Mapping[str, Any]]:
    """The forecast of a series; a refusal says for which rows."""
    try:
        servable = versions.of(name) if versions.is_fleet else versions.first
        answer: Sequence[Mapping[str, Any]] = servable.predict(body)["predictions"]
    except RequestError as error:
        raise SignatureMismatch(where, expected="what can be forecast", got=str(error)) from error
    return answer


def _whole(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    found = table.column(name).combine_chunks()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


class _Answers:
    """Forecasts as they come, column by column."""

    def __init__(self, *, rows: bool, series: bool) -> None:
        """`rows`: with the number of the row that asked; `series`: with its series."""
        self._rows: list[int] | None = [] if rows else None
        self._series: list[str] | None = [] if series else None
        self._dates: list[str] = []
        self._values: dict[str, list[float]] = {name: [] for name in _VALUES}

    def add(self, row: int, series: str, answer: Sequence[Mapping[str, Any]]) -> None:
        """The days that came of one row."""
        if self._rows is not None:
            self._rows += [row] * len(answer)
        if self._series is not None:
            self._series += [series] * len(answer)
        self._dates += [one[DATE] for one in answer]
        for name, values in self._values.items():
            values += [one.get(name) for one in answer]  # type: ignore[misc]

    def table(self) -> pa.Table:
        """All of them."""
        return pa.table(dict(self._columns()))

    def _columns(self) -> Iterator[tuple[str, pa.Array]]:
        if self._rows is not None:
            yield "row", pa.array(self._rows, pa.int64())
        if self._series is not None:
            yield SERIES, pa.array(self._series, pa.string())
        yield DATE, pa.array(np.array(self._dates, dtype="datetime64[ns]"), pa.timestamp("ns"))
        for name, values in self._values.items():
            yield name, pa.array(values, pa.float64())
