"""Where data comes from: bundled samples, CSV files, Yahoo behind a fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import DataInvalid, UnknownName, UsageError
from training.data.csv import CsvFile
from training.data.dataset import DATE, VALUE, Field, fingerprint
from training.data.sample import Sample
from training.data.source import NAMES, source
from training.workloads import get

FIELDS = get("petr4").about.fields
IRIS_FIELDS = get("iris").about.fields


def csv_file(folder: Path, text: str | bytes) -> CsvFile:
    """A file `prices.csv` with this content."""
    path = folder / "prices.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvFile(path)


def test_the_bundled_exchange_rate_is_what_its_credit_says() -> None:
    """4,822 business days of USD/BRL, named after what they are."""
    data = Sample().load("usd_brl", FIELDS)
    assert (data.name, len(data.frame), data.last_date) == ("USD/BRL", 4822, "2026-10-30")
    assert "European Central Bank" in data.credit
    assert data.frame[DATE].is_monotonic_increasing
    assert data.frame[VALUE].between(1.5, 7).all()


def test_the_bundled_page_views_are_prophets_example() -> None:
    """2,905 days of log page views."""
    data = Sample().load("peyton_manning", FIELDS)
    assert (data.name, len(data.frame)) == ("Peyton Manning page views", 2905)


def test_no_bundled_series_is_named_after_a_share() -> None:
    """What is shipped is not what it is not."""
    names = [
        Sample().load(s, fields).name
        for s, fields in (
            ("usd_brl", FIELDS),
            ("peyton_manning", FIELDS),
            ("iris", IRIS_FIELDS),
        )
    ]
    assert not any("PETR" in name.upper() for name in (*names, *Sample().series))


def test_every_bundled_file_is_credited() -> None:
    """The README beside the files names each of them."""
    folder = Path(__file__).parents[2] / "training" / "data" / "samples"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    files = [path.name for path in folder.glob("*.gz")]
    assert files
    assert all(f"`{name}`" in readme for name in files)


def test_an_unknown_series_is_refused_with_those_that_exist() -> None:
    """The message lists what there is."""
    with pytest.raises(UnknownName, match="usd_brl, peyton_manning, AAPL"):
        Sample().check("PETR4.SA")


def test_an_unknown_source_is_refused_with_those_that_exist() -> None:
    """The message lists what there is."""
    with pytest.raises(UnknownName, match=", ".join(NAMES)):
        source("ftp")


def test_csv_wants_a_file_and_the_others_take_none(tmp_path: Path) -> None:
    """A contradiction is a usage error."""
    with pytest.raises(UsageError, match="--file"):
        source("csv")
    with pytest.raises(UsageError, match="takes no file"):
        source("sample", file=tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_is_read_by_alias_and_delimiter(tmp_path: Path, delimiter: str) -> None:
    """`Date` and `Close` are as good as `ds` and `y`; other columns are left alone."""
    lines = ["Date,Open,Close", "2024-01-01,x,1.5", "", "2024-01-02,x,2.5"]
    file = csv_file(tmp_path, "\n".join(lines).replace(",", delimiter))
    data = file.load("", FIELDS)
    assert data.frame[VALUE].tolist() == [1.5, 2.5]
    assert data.frame.index.tolist() == [2, 4]
    assert (data.name, data.source) == ("prices", "csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "prices.csv, row 1: the file is empty"),
        ("Date,Close\n", "prices.csv, row 2: no data"),
        ("Date,Close\n2024-01-01,1\n2024-01-02\n", "row 3: expected 2 values, got 1"),
        ("Date,Close\n2024-01-01,1\n2024-01-02,abc\n", "row 3: y: expected a number"),
        ("Date,Close\n2024-01-01,1\nyesterday,2\n", "row 3: ds: expected a date"),
        ("Date,Close\n\n\n2024-01-01,1e\n", "row 4: y: expected a number as 5.43, got '1e'"),
        ("Date,Volume\n2024-01-01,1\n", "row 1: no column 'y'"),
        ("Date,Close,Close\n2024-01-01,1,2\n", "row 1: column 'Close' is there twice"),
        (b"Date,Close\n2024-01-01,\xff\xfe\n", "not UTF-8"),
        ('Date,Close\n2024-01-01,"1\n', "prices.csv, row"),
    ],
)
def test_a_broken_csv_file_is_refused_by_its_line(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    """The message names the file and the line as an editor shows it."""
    with pytest.raises(DataInvalid) as caught:
        csv_file(tmp_path, text).load("", FIELDS)
    assert "prices.csv" in str(caught.value)
    assert said in str(caught.value)


def test_an_empty_cell_is_kept_for_the_checks(tmp_path: Path) -> None:
    """Missing is not broken: `validate` says so with the row."""
    data = csv_file(tmp_path, "ds,y\n2024-01-01,\n2024-01-02,2\n").load("", FIELDS)
    assert data.frame[VALUE].isna().tolist() == [True, False]


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """Before any run exists."""
    with pytest.raises(UsageError, match="no such file"):
        CsvFile(tmp_path / "none.csv").check("")


def test_labels_are_known_by_number_and_by_name(tmp_path: Path) -> None:
    """Iris files spell their classes in several ways."""
    header = "sepal_length,sepal_width,petal_length,petal_width,species\n"
    rows = "".join(f"5,3,1,0.2,{name}\n" for name in ("setosa", "Iris-virginica", "1"))
    data = csv_file(tmp_path, header + rows).load("", IRIS_FIELDS)
    assert data.frame["target"].tolist() == [0, 2, 1]
    with pytest.raises(DataInvalid, match=r"row 2: target: expected one of .*got 'rose'"):
        csv_file(tmp_path, header + "5,3,1,0.2,rose\n").load("", IRIS_FIELDS)


def test_the_fingerprint_is_of_the_content_alone() -> None:
    """Neither the index nor the time zone of the file system changes it; one digit does."""
    frame = Sample().load("usd_brl", FIELDS).frame
    assert fingerprint(frame) == fingerprint(frame.reset_index(drop=True))
    changed = frame.copy()
    changed.loc[17, VALUE] += 1e-9
    assert fingerprint(changed) != fingerprint(frame)


def test_a_field_is_found_by_its_own_name_first(tmp_path: Path) -> None:
    """An alias never hides the real column."""
    data = csv_file(tmp_path, "close,y,ds\n1,2,2024-01-01\n").load("", FIELDS)
    assert data.frame[VALUE].tolist() == [2.0]
    assert [field.name for field in FIELDS] == [DATE, VALUE]
    assert isinstance(FIELDS[0], Field)
