"""A data set as it was read: a frame with its name, origin, credit and fingerprint.

`Field` says which columns a workload wants and under which other names they are known; `select`
brings any raw table into that form. The frame's index is the row number as a person sees it in the
source (the line of a CSV file, a picture's path in its folder, 1 for the first row elsewhere), so
that a message can name it. A picture is a row with the path of its file; what is in the file counts
for the fingerprint, where it lies does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd

from registry.errors import DataInvalid

FieldKind = Literal["date", "number", "label", "picture"]
DATE = "ds"
VALUE = "y"
PICTURE = "picture"
LABEL = "label"


@dataclass(frozen=True)
class Field:
    """A column a workload needs; `aliases` are compared without regard to case.

    `labels` says for a label which number each of its spellings (in lower case) is.
    """

    name: str
    kind: FieldKind
    aliases: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a source read: `frame` has one column for each field asked for.

    `caveat` says what must be said wherever a number or picture made from this data is shown.
    """

    frame: pd.DataFrame = field(repr=False)
    name: str
    source: str
    credit: str
    origin: str
    caveat: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the content."""
        return fingerprint(self.frame)

    def between(self, start: str | None, end: str | None) -> Self:
        """Only the rows from one date to another (ISO, inclusive); None is without a bound."""
        dates = self.frame[DATE]
        chosen = pd.Series(data=True, index=dates.index)
        if start:
            chosen &= dates >= pd.Timestamp(start)
        if end:
            chosen &= dates < pd.Timestamp(end) + pd.Timedelta(days=1)
        period = f"{self.origin}, from {start or 'its start'} to {end or 'its end'}"
        return replace(self, frame=self.frame[chosen], origin=period)

    @property
    def last_date(self) -> str | None:
        """ISO date of the last observation, or None where the data has no time."""
        if DATE not in self.frame.columns or self.frame.empty:
            return None
        return iso(self.frame[DATE].iloc[-1])


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 (hex) over names and values, independent of index, file format and compression.

    Of the pictures in a column `picture` over the bytes of their files.
    """
    if PICTURE in frame.columns:
        digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in frame[PICTURE]]
        frame = frame.assign(**{PICTURE: digests})
    text = frame.to_csv(index=False, float_format="%.17g", date_format="%Y-%m-%dT%H:%M:%S")
    return hashlib.sha256(text.encode()).hexdigest()


def iso(moment: Any) -> str:
    """A timestamp as ISO text: only the date where it is midnight."""
    stamp = pd.Timestamp(moment)
    return stamp.strftime("%Y-%m-%d") if stamp == stamp.normalize() else stamp.isoformat()


def select(frame: pd.DataFrame, fields: Sequence[Field], *, origin: str) -> pd.DataFrame:
    """The wanted columns of a raw table, by name or alias, each in its type.

    Raises DataInvalid naming `origin`, the row (the frame's index) and the value.
    """
    columns = {wanted.name: _find(frame, wanted, origin=origin) for wanted in fields}
    return pd.DataFrame(
        {w.name: _convert(frame[columns[w.name]], w, origin=origin) for w in fields},
        index=frame.index,
    )


def _find(frame: pd.DataFrame, wanted: Field, *, origin: str) -> str:
    """The raw column that holds a field: its own name first, then its aliases in order."""
    found = {str(column).strip().lower(): str(column) for column in frame.columns}
    for name in (wanted.name, *wanted.aliases):
        if name.lower() in found:
            return found[name.lower()]
    also = f" (or {', '.join(wanted.aliases)})" if wanted.aliases else ""
    raise DataInvalid(
        f"{origin}, row 1: no column {wanted.name!r}{also}; "
        f"there is: {', '.join(map(str, frame.columns)) or 'none'}"
    )


def _convert(values: pd.Series[Any], wanted: Field, *, origin: str) -> pd.Series[Any]:
    """One column in its type; text that is none of it is refused, emptiness is kept."""
    converted: pd.Series[Any]
    if wanted.kind == "label":
        spelt = values.astype(str).str.strip().str.lower().str.removesuffix(".0")
        converted = spelt.map(dict(wanted.labels))
    elif wanted.kind == "picture":
        converted = values.astype(str)
    elif wanted.kind == "date":
        dates = pd.to_datetime(values, errors="coerce", format="ISO8601")
        converted = dates.dt.tz_localize(None).astype("datetime64[ns]")
    else:
        converted = pd.to_numeric(values, errors="coerce").astype("float64")
    broken = converted.isna() & values.notna() & (values.astype(str).str.strip() != "")
    if broken.any():
        row = values.index[int(broken.to_numpy().argmax())]
        raise DataInvalid(
            f"{origin}, row {row}: {wanted.name}: expected {_expected(wanted)}, "
            f"got {values.loc[row]!r}"
        )
    return converted


def _expected(wanted: Field) -> str:
    """What a field takes, in words."""
    words = {"date": "a date as 2026-10-30", "number": "a number as 5.43"}
    return words.get(wanted.kind) or f"one of {', '.join(wanted.labels)}"
