"""Predictions as Parquet, in a directory and in S3: each record is in one file."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from registry.backup.store import Store
from registry.errors import SettingsError
from registry.predictions import Position, Prediction
from registry.predictions_parquet import HOUR_SECONDS, Exported, export, place
from registry.settings import Settings
from registry.sql_predictions import SqlPredictions
from tests.fakes.predicted import NOON, made
from tests.seaweed import BUCKET, WRITER

SINCE, NOW = NOON - HOUR_SECONDS, NOON + 3 * HOUR_SECONDS + 60


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "directory":
        return place(Settings(predictions_parquet=str(tmp_path / "new" / "parquet")))
    server = request.getfixturevalue("seaweed")
    for name, value in WRITER.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    return place(Settings(predictions_parquet=address, s3_endpoint=server.endpoint))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlPredictions]:
    made_one = SqlPredictions(f"sqlite:///{tmp_path / 'log.db'}")
    yield made_one
    made_one.close()


def put(log: SqlPredictions, *records: Prediction) -> None:
    at = log.position("spool", "lane")
    log.append("spool", "lane", records, Position(1, at.offset + 1))


def rows(store: Store, tmp_path: Path) -> dict[str, list[dict[str, object]]]:
    """Every file's rows by its name."""
    found = {}
    for stored in store.files():
        if stored.name.endswith(".parquet"):
            with store.read(stored.name) as file:
                tmp_path.joinpath("one").write_bytes(file.read())
            found[stored.name] = pq.read_table(tmp_path / "one").to_pylist()
    return found


def test_each_hour_that_is_over_is_one_file(
    log: SqlPredictions, store: Store, tmp_path: Path
) -> None:
    names = "a b/ü"
    put(log, *(made(n, time=NOON + n * 600) for n in range(19)), made(99, model=names))
    assert export(log, store, since=SINCE, now=NOW) == Exported(files=4, records=19)
    found = rows(store, tmp_path)
    assert {name: len(some) for name, some in found.items()} == {
        "model=iris/day=2026-01-29/hour=12.parquet": 6,
        "model=iris/day=2026-01-29/hour=13.parquet": 6,
        "model=iris/day=2026-01-29/hour=14.parquet": 6,
        "model=a%20b%2F%C3%BC/day=2026-01-29/hour=12.parquet": 1,
    }
    first = found["model=iris/day=2026-01-29/hour=12.parquet"][0]
    assert first["prediction_id"] == made(0).prediction_id
    assert json.loads(str(first["inputs"])) == made(0).inputs
    assert first["time"].timestamp() == NOON  # type: ignore[attr-defined]
    assert (first["seq"], first["data_points"]) == (7, None)


def test_what_was_exported_is_not_written_again_but_with_late_records(
    log: SqlPredictions, store: Store, tmp_path: Path
) -> None:
    put(log, made(1), made(2, time=NOON + HOUR_SECONDS))
    assert export(log, store, since=SINCE, now=NOW).files == 2
    assert export(log, store, since=SINCE, now=NOW) == Exported(0, 0)
    put(log, made(3))
    assert export(log, store, since=SINCE, now=NOW) == Exported(files=1, records=2)
    found = rows(store, tmp_path)["model=iris/day=2026-01-29/hour=12.parquet"]
    assert [row["prediction_id"] for row in found] == [made(n).prediction_id for n in (1, 3)]


class Ending:
    """A store whose process ends at its `at`-th write, before or after it is done."""

    def __init__(self, store: Store, at: int) -> None:
        self.store, self.left = store, at

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def write(self, name: str, source) -> None:
        self.left -= 1
        if self.left == 0:
            raise InterruptedError
        self.store.write(name, source)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_export_that_was_ended_is_made_whole(
    log: SqlPredictions, store: Store, tmp_path: Path, at: int
) -> None:
    put(log, made(1), made(2, time=NOON + HOUR_SECONDS))
    with pytest.raises(InterruptedError):
        export(log, Ending(store, at), since=SINCE, now=NOW)
    export(log, store, since=SINCE, now=NOW)
    assert sorted(len(some) for some in rows(store, tmp_path).values()) == [1, 1]
    assert export(log, store, since=SINCE, now=NOW) == Exported(0, 0)


def test_many_records_of_an_hour_go_a_group_at_a_time(
    log: SqlPredictions, store: Store, tmp_path: Path
) -> None:
    put(log, *(made(n, time=NOON + n / 100) for n in range(12_000)))
    assert export(log, store, since=SINCE, now=NOW) == Exported(1, 12_000)
    [found] = rows(store, tmp_path).values()
    assert len({row["prediction_id"] for row in found}) == 12_000


def test_an_export_to_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BATON_PREDICTIONS_PARQUET: is not set"):
        place(Settings(home=tmp_path))
