"""Batch scoring answers what `/predict` answers, bit for bit, whatever the table looks like."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.bundle import Manifest
from registry.errors import BundleInvalid, DataInvalid, SignatureMismatch
from serving.batch.partition import BATCH_ROWS, Partition, score
from serving.batch.versions import Versions
from serving.kinds import Limits
from serving.servable import Servable
from tests.contract.trainings import Setting
from tests.fakes.crew import InlineCrew
from tests.servingfakes import batches, models
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.versions import folder, mlmodel, route
from training.scoring.score import run_score
from training.scoring.task import score as score_task

LIMITS = Limits(max_rows=10**6, max_horizon=10**6)
FOUR = mlmodel([{"name": name, "type": "double"} for name in batches.COLUMNS])


def servable(root: Path) -> Servable:
    """As a worker has it."""
    return Servable.load(root, Manifest.of(root), allowed=("onnx", "prophet"), limits=LIMITS)


def asked(versions: Versions, table: pa.Table, at: Path, **where: int) -> pa.Table:
    """A table's answer, through files."""
    pq.write_table(table, at / "in.parquet", row_group_size=700)
    partition = Partition(at / "in.parquet", **{"start": 0, "rows": table.num_rows, **where})
    told = score(versions, partition, at / "out.parquet")
    answer = pq.read_table(at / "out.parquet")
    assert told["written"] == answer.num_rows
    return answer


@pytest.fixture(scope="module")
def iris(trained_once: Callable[[str], Setting]) -> Path:
    """The files of a trained forest."""
    return trained_once("iris").version


def rows(root: Path, count: int) -> pd.DataFrame:
    """Generated measurements with the version's column names."""
    signature = servable(root).signature
    assert signature is not None
    values = np.random.default_rng(3).uniform(0.1, 8.0, (count, len(signature.columns)))
    return pd.DataFrame(values, columns=[column.name for column in signature.columns])


def test_labels_and_probabilities_are_those_of_predict(iris: Path, tmp_path: Path) -> None:
    frame = rows(iris, 1000)
    answer = asked(batches.versions(tmp_path / "v", {"": iris}), pa.table(frame), tmp_path)
    said = servable(iris).predict({"dataframe_split": frame.to_dict(orient="split", index=False)})
    assert answer.column("predictions").to_pylist() == np.asarray(said["predictions"]).tolist()
    [name] = said["outputs"]
    expected = np.asarray(said["outputs"][name])
    got = np.array(answer.column(name).to_pylist(), dtype=expected.dtype)
    assert got.tobytes() == expected.tobytes()


def test_columns_are_found_by_name_and_others_are_left_alone(iris: Path, tmp_path: Path) -> None:
    versions = batches.versions(tmp_path / "v", {"": iris})
    frame = rows(iris, 50)
    plain = asked(versions, pa.table(frame), tmp_path)
    other = frame[frame.columns[::-1]].assign(id=[f"flower {n}" for n in range(50)])
    assert asked(versions, pa.table(other), tmp_path).equals(plain)


def test_whole_numbers_are_taken_for_doubles(iris: Path, tmp_path: Path) -> None:
    versions = batches.versions(tmp_path / "v", {"": iris})
    frame = rows(iris, 50).round().clip(lower=1)
    assert asked(versions, pa.table(frame.astype("int16")), tmp_path).equals(
        asked(versions, pa.table(frame), tmp_path)
    )


@pytest.fixture
def four(tmp_path: Path) -> Versions:
    """A model of four columns: scores are half of what it is asked."""
    root = folder(tmp_path / "four", models.classifier(), files={"MLmodel": FOUR})
    return batches.versions(tmp_path / "v", {"": root})


def numbered(count: int) -> pa.Table:
    """Rows that can be told apart."""
    return pa.table({name: np.arange(count, dtype=float) for name in batches.COLUMNS})


def test_a_partition_is_exactly_its_rows_across_row_groups_and_batches(
    four: Versions, tmp_path: Path
) -> None:
    count = 2 * BATCH_ROWS + 500
    answer = asked(four, numbered(count), tmp_path, start=333, rows=count - 400)
    scores = np.array(answer.column(1).to_pylist())[:, 0]
    np.testing.assert_array_equal(scores, np.arange(333, count - 67, dtype=np.float32) * 0.5)


def test_an_empty_table_is_answered_by_one_of_the_same_form(four: Versions, tmp_path: Path) -> None:
    answer = asked(four, numbered(0), tmp_path)
    assert answer.num_rows == 0
    assert answer.schema == asked(four, numbered(1), tmp_path).schema


def test_a_bad_row_refuses_the_partition_by_its_number(four: Versions, tmp_path: Path) -> None:
    values = np.arange(BATCH_ROWS + 10, dtype=float)
    table = numbered(len(values)).set_column(
        2, "c2", pa.array(np.where(values == 16_390, np.nan, 1))
    )
    with pytest.raises(SignatureMismatch, match=r"row 16,391, column c2: expected a finite double"):
        asked(four, table, tmp_path)
    with pytest.raises(SignatureMismatch, match="c1: expected a column of double, got nothing"):
        asked(four, numbered(3).drop_columns(["c1"]), tmp_path)
    with pytest.raises(SignatureMismatch, match=r"rows 1 to 1: .* beyond its range"):
        asked(four, pa.table({name: [1e300] for name in batches.COLUMNS}), tmp_path)


def test_a_file_that_is_none_and_a_version_that_was_changed_are_refused(
    four: Versions, tmp_path: Path
) -> None:
    (tmp_path / "odd.parquet").write_text("not it")
    with pytest.raises(DataInvalid, match="odd.parquet: not a Parquet file"):
        score(four, Partition(tmp_path / "odd.parquet", 0, 1), tmp_path / "out.parquet")
    (tmp_path / "four" / "model.onnx").write_bytes(models.classifier(columns=5))
    with pytest.raises(BundleInvalid, match="model.onnx: expected sha256"):
        asked(batches.Versions(tmp_path / "v"), numbered(1), tmp_path)


def test_a_model_of_tensors_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "tensor", models.linear(2.0), files={"MLmodel": "flavors: {}"})
    with pytest.raises(BundleInvalid, match="expected a model of tables"):
        asked(batches.versions(tmp_path / "v", {"": root}), numbered(1), tmp_path)


@pytest.fixture(scope="module")
def prophet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prophet_folder(tmp_path_factory.mktemp("prophet") / "version")


def test_each_row_of_a_horizon_is_answered_by_its_days(prophet: Path, tmp_path: Path) -> None:
    versions = batches.versions(tmp_path / "v", {"": prophet})
    answer = asked(versions, pa.table({"horizon": [2, 3]}), tmp_path)
    assert answer.column("row").to_pylist() == [1, 1, 2, 2, 2]
    said = servable(prophet).predict({"horizon": 3})["predictions"]
    assert values(answer.slice(2)) == said


def test_the_dates_of_a_series_are_one_request_in_the_order_of_the_rows(
    prophet: Path, tmp_path: Path
) -> None:
    dates = np.array(["2026-03-02", "2026-01-02", "2026-02-02"], dtype="datetime64[ns]")
    versions = batches.versions(tmp_path / "v", {"": prophet})
    answer = asked(versions, pa.table({"ds": dates, "id": [1, 2, 3]}), tmp_path)
    future = [{"ds": str(date)[:10]} for date in dates]
    assert values(answer) == servable(prophet).predict({"future": future})["predictions"]


def test_a_fleet_is_asked_by_series_wherever_its_rows_lie(prophet: Path, tmp_path: Path) -> None:
    versions = batches.versions(tmp_path / "v", {"a-x": prophet, "b": prophet})
    dates = np.array(["2026-01-02", "2026-01-03"] * 2, dtype="datetime64[ns]")
    table = pa.table({"series": ["a/x", "b", "b", "a/x"], "ds": dates})
    answer = asked(versions, table, tmp_path)
    assert answer.column("series").to_pylist() == ["a/x", "b", "b", "a/x"]
    assert answer.column("ds").to_numpy().tolist() == dates.tolist()
    unknown = pa.table({"series": ["b", "c"], "horizon": [1, 1]})
    with pytest.raises(SignatureMismatch, match="row 2: .* one with a model in Production"):
        asked(versions, unknown, tmp_path)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"horizon": [1, None]}, "row 2, column horizon"),
        ({"horizon": [1, 0]}, "row 2: .* an integer from 1"),
        ({"days": [1]}, "column ds: expected horizon, or ds"),
        (
            {"ds": pa.array([None], pa.timestamp("ns"))},
            "row 1, column ds: expected datetime, got null",
        ),
    ],
)
def test_what_cannot_be_forecast_is_named(prophet: Path, tmp_path: Path, columns, told) -> None:
    versions = batches.versions(tmp_path / "v", {"": prophet})
    with pytest.raises(SignatureMismatch, match=told):
        asked(versions, pa.table(columns), tmp_path)


def values(answer: pa.Table) -> list[dict[str, object]]:
    """Rows as a request's answer has them."""
    found = answer.select(["ds", "yhat", "yhat_lower", "yhat_upper"]).to_pylist()
    return [{**row, "ds": str(row["ds"])[:10]} for row in found]


def test_a_version_of_the_registry_is_fetched_verified_and_asked(
    trained_once: Callable[[str], Setting], tmp_path: Path
) -> None:
    """As `python -m training score` does it, from a real MLflow store."""
    setting = trained_once("iris")
    to = route(setting.version, setting.trained.version)
    frame = rows(setting.version, 30)
    frame.to_parquet(tmp_path / "in.parquet")
    order = batches.order(to, model=setting.trained.model)
    done = run_score(
        order,
        setting.settings,
        source=str(tmp_path / "in.parquet"),
        target=str(tmp_path / "out"),
        crew=InlineCrew(score_task),
    )
    assert (done.rows, done.failed) == (30, [])
    body = {"dataframe_split": frame.to_dict(orient="split", index=False)}
    said = servable(setting.version).predict(body)["predictions"]
    answer = pq.read_table(tmp_path / "out" / "part-00000.parquet")
    assert answer.column("predictions").to_pylist() == np.asarray(said).tolist()

    other = dataclasses.replace(to, manifest=Manifest.of(tmp_path), digest="0" * 64)
    done = run_score(
        batches.order(other, model=setting.trained.model),
        setting.settings,
        source=str(tmp_path / "in.parquet"),
        target=str(tmp_path / "other"),
        crew=InlineCrew(score_task),
    )
    assert "missing" in done.failed[0].reason, "bytes that were not judged do not score"
