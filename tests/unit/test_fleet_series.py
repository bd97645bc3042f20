"""Which series a fleet has, what their models are called, and how one of them is read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from registry.errors import DataInvalid, UsageError
from registry.settings import Settings
from training.data.dataset import Field
from training.data.table import Table
from training.fleet.plan import FleetPlan
from training.fleet.series import SeriesFile

FIELDS = (Field("ds", "date"), Field("y", "number"))
SAMPLES = Path(__file__).resolve().parents[2] / "training" / "data" / "samples" / "fleet.txt"


@pytest.fixture
def long_form() -> pd.DataFrame:
    """Three series, one after the other, of 4, 3 and 2 rows."""
    dates = pd.date_range("2026-01-01", periods=4)
    parts = [
        pd.DataFrame({"series": name, "ds": dates[:rows], "y": float(rows)})
        for name, rows in (("b", 4), ("a/x", 3), ("007", 2))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(params=[".parquet", ".csv"])
def table(request: pytest.FixtureRequest, long_form: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / f"sales{request.param}"
    if path.suffix == ".csv":
        long_form.to_csv(path, index=False)
    else:
        long_form.to_parquet(path, row_group_size=2)
    return path


def plan(series: SeriesFile, **changes) -> FleetPlan:
    settings = Settings().resolved()
    return FleetPlan.of("petr4", series, settings, **{"params": {}, **changes})


def test_a_table_has_the_series_of_its_rows(table: Path):
    found = SeriesFile.read(table, source=None)
    assert (found.source, [*found.names]) == ("table", ["b", "a/x", "007"])
    assert found.file_of("b") == table


def test_a_series_of_a_table_is_read_alone_and_told_by_its_rows(table: Path):
    data = Table(table).load("a/x", FIELDS)
    assert (data.name, data.frame["y"].tolist()) == ("a/x", [3.0, 3.0, 3.0])
    assert [*data.frame.index] == [1, 2, 3]
    assert Table(table).load("007", FIELDS).frame["y"].tolist() == [2.0, 2.0]
    with pytest.raises(DataInvalid, match="series c: there is no row"):
        Table(table).load("c", FIELDS)


def test_series_may_be_numbers_in_a_parquet_file(tmp_path: Path):
    path = tmp_path / "shops.parquet"
    pd.DataFrame({"series": [7, 7, 9], "ds": "2026-01-01", "y": [1.0, 2.0, 3.0]}).to_parquet(path)
    assert [*SeriesFile.read(path, source=None).names] == ["7", "9"]
    assert Table(path).load("9", FIELDS).frame["y"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"name": ["a"], "y": [1.0]}, "no column 'series'; there is: name, y"),
        ({"series": ["a", None], "y": [1.0, 2.0]}, "a row has no series"),
    ],
)
def test_a_table_that_is_none_of_series_is_refused(tmp_path: Path, columns, told: str):
    path = tmp_path / "odd.parquet"
    pd.DataFrame(columns).to_parquet(path)
    with pytest.raises(DataInvalid, match=told):
        SeriesFile.read(path, source=None)


def test_a_file_that_is_no_parquet_is_refused_by_its_name(tmp_path: Path):
    path = tmp_path / "broken.parquet"
    path.write_text("not it")
    with pytest.raises(DataInvalid, match="broken.parquet: cannot be read"):
        SeriesFile.read(path, source=None)


def test_a_directory_has_a_series_a_file(tmp_path: Path):
    for name in ("two", "one"):
        (tmp_path / f"{name}.csv").write_text("ds,y\n2026-01-01,1\n")
    found = SeriesFile.read(tmp_path, source=None)
    assert (found.source, [*found.names]) == ("csv", ["one", "two"])
    assert found.file_of("one") == tmp_path / "one.csv"


def test_the_bundled_list_names_series_that_there_are():
    found = SeriesFile.read(SAMPLES, source=None)
    assert [*found.names] == ["usd_brl", "peyton_manning", "MSFT", "IBM", "AAPL"]
    made = plan(found)
    for name in found.names:
        assert made.of_series(name, found, Settings().resolved()).source == "sample"


@pytest.mark.parametrize(
    ("text", "told"),
    [("a\nb\na\n", "series 'a' is there twice"), ("# nothing\n", "at least one series")],
)
def test_a_list_that_cannot_be_is_refused(tmp_path: Path, text: str, told: str):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        SeriesFile.read(path, source=None)


def test_what_cannot_be_found_or_contradicts_itself_is_refused(tmp_path: Path, table: Path):
    with pytest.raises(UsageError, match="no such file or directory"):
        SeriesFile.read(tmp_path / "none.txt", source=None)
    with pytest.raises(UsageError, match="is read as table"):
        SeriesFile.read(table, source="yahoo")


def test_models_are_named_by_a_pattern_or_after_the_workloads(table: Path):
    found = SeriesFile.read(table, source=None)
    assert plan(found).model_of("b") == "ProphetModel-b"
    assert plan(found, model="plan-{ticker}-eu").model_of("a/x") == "plan-a-x-eu"


def test_two_series_of_one_model_and_parameters_that_cannot_be_are_refused(tmp_path: Path):
    path = tmp_path / "tickers.txt"
    path.write_text("A/B\nA:B\n")
    with pytest.raises(UsageError, match="both models would be 'ProphetModel-A-B'"):
        plan(SeriesFile.read(path, source="yahoo"))
    path.write_text("A\n")
    with pytest.raises(UsageError, match="holdout_days"):
        plan(SeriesFile.read(path, source="yahoo"), params={"holdout_days": "none"})


def test_a_plan_is_the_same_after_json_and_notices_other_series(tmp_path: Path):
    path = tmp_path / "tickers.txt"
    path.write_text("A\nB\n")
    made = plan(SeriesFile.read(path, source="yahoo"))
    again = FleetPlan(**made.to_json())
    assert again == made
    assert [*again.series().names] == ["A", "B"]
    path.write_text("A\nB\nC\n")
    with pytest.raises(UsageError, match="no longer those that this fleet began with"):
        again.series()
