"""The import of feedback: three kinds of file, the same counts, and once however often."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.outcomes import OfDate, OfPrediction
from registry.settings import Settings
from registry.sql_outcomes import open_outcomes
from serving import feedback_command

ROWS: list[dict[str, Any]] = [
    {"prediction_id": "p1", "row": 2, "actual": "setosa"},
    {"prediction_id": "p2", "actual": 1.5, "correct": True},
    {"series": "USD/BRL", "date": "2026-11-02", "actual": 5.5, "at": "2026-11-02T18:00:00Z"},
]
COLUMNS = ("prediction_id", "row", "series", "date", "actual", "at", "correct")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "var"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATON_HOME", str(made))
    return made


def csv(folder: Path) -> Path:
    lines = [",".join(str(row.get(name, "")) for name in COLUMNS) for row in ROWS]
    (folder / "told.csv").write_text("\n".join([",".join(COLUMNS), *lines]), encoding="utf-8-sig")
    return folder / "told.csv"


def json_lines(folder: Path) -> Path:
    lines = [json.dumps(row) for row in ROWS]
    (folder / "told.jsonl").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return folder / "told.jsonl"


def parquet(folder: Path) -> Path:
    """A column has one type there: values are texts, which are no numbers."""
    rows = [{**row, "actual": str(row["actual"])} for row in ROWS]
    pq.write_table(
        pa.Table.from_pylist(
            rows,
            pa.schema(
                [
                    *(
                        (name, pa.string())
                        for name in ("prediction_id", "series", "date", "actual", "at")
                    ),
                    ("row", pa.int64()),
                    ("correct", pa.bool_()),
                ]
            ),
        ),
        folder / "told.parquet",
    )
    return folder / "told.parquet"


def imported(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    code = feedback_command.main(["import", *map(str, words), "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


@pytest.mark.parametrize("write", [csv, json_lines, parquet])
def test_a_file_is_taken_once_however_often_it_comes(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], write: Any
) -> None:
    file = write(tmp_path)
    code, first = imported(capsys, file, "--by", "lab")
    assert (code, first["unknown"], first["accepted"], first["refused"]) == (0, 2, 1, 0)
    code, again = imported(capsys, file)
    assert (code, again["duplicate"], again["notes"]) == (0, 3, [])
    outcomes = open_outcomes(Settings.read({"BATON_HOME": str(home)}))
    [label] = outcomes.history(OfPrediction("p1", 2))
    [number] = outcomes.history(OfPrediction("p2"))
    [day] = outcomes.history(OfDate("USD/BRL", "2026-11-02"))
    outcomes.close()
    assert (label.value, label.by) == ("setosa", "lab")
    as_text = write is parquet
    assert (number.value, day.value) == (("1.5", "5.5") if as_text else (1.5, 5.5))
    assert day.at == 1_793_642_400.0


def test_numbers_in_parquet_are_numbers(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table({"prediction_id": ["p1", "p2"], "row": [None, 1], "actual": [1.5, 2.0]})
    pq.write_table(table, tmp_path / "told.parquet")
    assert imported(capsys, tmp_path / "told.parquet")[1]["unknown"] == 2


def test_rows_that_cannot_be_are_told_by_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "told.jsonl"
    good = [json.dumps({"prediction_id": f"p{n}", "actual": 1}) for n in range(1500)]
    file.write_text("\n".join([*good, "{not json", json.dumps({"actual": 1})]), encoding="utf-8")
    code, found = imported(capsys, file)
    assert (code, found["unknown"], found["refused"]) == (5, 1500, 2)
    assert [note["index"] for note in found["notes"]] == [1500, 1501]
    assert feedback_command.main(["import", str(file)]) == 5
    said = capsys.readouterr().out
    assert "duplicate 1,500" in said
    assert "row 1501: refused: feedback: expected an object" in said


@pytest.mark.parametrize("name", ["told.txt", "nowhere.csv", "broken.parquet", "latin.csv"])
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for there in ("told.txt", "broken.parquet", "latin.csv"):
        (tmp_path / there).write_bytes(b"prediction_id,actual\np1,\xff\n")
    code, found = imported(capsys, tmp_path / name)
    assert (code, found["error"]) == (2, "UsageError")
    assert name in found["message"]


def test_without_a_log_there_is_no_place_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATON_PREDICTIONS_URL", "off")
    assert imported(capsys, csv(tmp_path))[0] == 2
