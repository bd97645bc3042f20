"""Predictions as Parquet, for who analyses them: one file a model and hour, in a directory or S3.

    model=iris/day=2026-01-29/hour=12.parquet     every record of that hour (UTC), attempts too
    model=iris/day=2026-01-29/_records.json       how many each hour's file has

Read from the prediction log, an hour once it is over, by whoever has pyarrow and may write there:
the monitor, or `python -m registry predictions export`. A file's name says all that is in it, so
that what is exported again replaces itself. See docs/adr/0027.
"""

from __future__ import annotations

import datetime
import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Final, Protocol
from urllib.parse import quote

import orjson

from registry.backup.place import open_store
from registry.backup.store import Store, json_file
from registry.errors import SettingsError
from registry.predictions import Prediction
from registry.settings import Settings

HOUR_SECONDS: Final = 3_600.0
_GROUP: Final = 10_000  # records held at once
_IN_MEMORY_BYTES: Final = 16 * 1024 * 1024
_TEXTS = ("prediction_id", "request_id", "attempt_of", "version", "digest", "arm", "endpoint")
_MORE_TEXTS = ("method", "key_id", "error")
_WHOLE = ("epoch", "seq", "status", "rows", "data_points")
_NUMBERS = ("latency_ms", "confidence", "last_known_price")
_OBJECTS = ("inputs", "outputs")  # as JSON: a version's columns are its own


class Executions(Protocol):
    """What is read: `SqlPredictions`."""

    def models(self, since: float, until: float) -> Sequence[str]:
        """Which models have records in that time."""

    def size(self, model: str, since: float, until: float) -> int:
        """How many."""

    def executions(self, model: str, since: float, until: float) -> Iterator[Prediction]:
        """All of them, oldest first."""


@dataclass(frozen=True)
class Exported:
    """What was written: files, and the records in them."""

    files: int
    records: int


def place(settings: Settings) -> Store:
    """Where BATON_PREDICTIONS_PARQUET is. Raises SettingsError if it is nowhere."""
    variable = "BATON_PREDICTIONS_PARQUET"
    if not settings.predictions_parquet:
        raise SettingsError(f"{variable}: is not set; expected s3://bucket/path or a directory")
    return open_store(settings.predictions_parquet, what=variable, endpoint=settings.s3_endpoint)


def export(log: Executions, store: Store, *, since: float, now: float) -> Exported:
    """Write every hour from the one of `since` on that is over, and has more than its file has.

    Times are seconds since 1970. What retention took from the log stays in its file. May be ended
    at any moment and begun again; two at once write the same. Raises Unreachable, SettingsError
    for a place that is not there, StepFailed for a disk.
    """
    first, end = since // HOUR_SECONDS, now // HOUR_SECONDS
    files = records = 0
    for model in log.models(first * HOUR_SECONDS, end * HOUR_SECONDS):
        for day, hours in _by_day(int(first), int(end)):
            folder = f"model={quote(model, safe='')}/day={day.isoformat()}"
            written = dict(_index(store, folder))
            for hour in hours:
                begin = hour * HOUR_SECONDS
                name = f"{hour % 24:02d}"
                if log.size(model, begin, begin + HOUR_SECONDS) <= written.get(name, 0):
                    continue
                some = log.executions(model, begin, begin + HOUR_SECONDS)
                written[name] = _write(store, f"{folder}/hour={name}.parquet", some)
                store.write(f"{folder}/_records.json", json_file(written))
                files, records = files + 1, records + written[name]
    store.settle()
    return Exported(files, records)


def _by_day(first: int, end: int) -> Iterator[tuple[datetime.date, range]]:
    """The hours first … end - 1 since 1970, by their day."""
    while first < end:
        last = min((first // 24 + 1) * 24, end)
        moment = datetime.datetime.fromtimestamp(first * HOUR_SECONDS, datetime.UTC)
        yield moment.date(), range(first, last)
        first = last


def _index(store: Store, folder: str) -> Mapping[str, int]:
    """How many records each hour's file has; one that nobody can read is written anew."""
    try:
        with store.read(f"{folder}/_records.json") as file:
            return {str(name): int(count) for name, count in json.loads(file.read()).items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def _write(store: Store, name: str, records: Iterator[Prediction]) -> int:
    """Write a file, a group of records at a time; how many."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        count = _fill(file, records)
        file.seek(0, io.SEEK_SET)
        store.write(name, file)
    return count


def _fill(file: IO[bytes], records: Iterator[Prediction]) -> int:
    import pyarrow as pa  # noqa: PLC0415 - only where it is exported
    from pyarrow import parquet  # noqa: PLC0415 - as above

    fields = [
        ("time", pa.timestamp("us", tz="UTC")),
        *((name, pa.string()) for name in (*_TEXTS, *_MORE_TEXTS, *_OBJECTS)),
        *((name, pa.int64()) for name in _WHOLE),
        *((name, pa.float64()) for name in _NUMBERS),
    ]
    schema, count = pa.schema(fields), 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := [_values(one) for one in islice(records, _GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema))
            count += len(group)
    return count


def _values(record: Prediction) -> dict[str, Any]:
    """A record by column; model and day are in its file's name."""
    names = (*_TEXTS, *_MORE_TEXTS, *_WHOLE, *_NUMBERS)
    values = {name: getattr(record, name) for name in names}
    values["time"] = datetime.datetime.fromtimestamp(record.time, datetime.UTC)
    return values | {name: orjson.dumps(getattr(record, name)).decode() for name in _OBJECTS}
