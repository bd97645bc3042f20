"""The runner as an engine: parity with scikit-learn, all forms of answer, all kinds of failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from registry.bundle import Manifest
from registry.errors import (
    BundleInvalid,
    ModelFailed,
    NotFinite,
    SignatureMismatch,
    WrongShape,
)
from serving.kinds import Limits
from serving.servable import Servable
from tests.servingfakes import pyfuncs, runners

LIMITS = Limits(max_rows=200, max_horizon=1)


def load(root: Path) -> Servable:
    return Servable.load(
        root, Manifest.of(root), allowed=("runner",), limits=LIMITS, runner=runners.beside
    )


@pytest.mark.parametrize("as_skops", [False, True], ids=["cloudpickle, columns", "skops, a tensor"])
def test_the_runner_answers_what_scikit_learn_does(tmp_path: Path, as_skops: bool) -> None:
    model, rows = pyfuncs.forest(tmp_path / "v", as_skops=as_skops)
    servable = load(tmp_path / "v")
    answer = servable.predict({"inputs": _inputs(rows)})
    assert len(rows) == 150
    assert answer["predictions"].tolist() == model.predict(rows).tolist()


def _inputs(rows: Any) -> Any:
    return rows.to_dict(orient="list") if hasattr(rows, "to_dict") else rows.tolist()


TABLE = "import pandas as pd; return pd.DataFrame({'y': table['x'] * 2, 'label': 'high'})"
OUTPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "an array": ("return table['x'].to_numpy() * 2", {"predictions": [2.0, 4.0]}),
    "a series": ("return table['x'] * 2", {"predictions": [2.0, 4.0]}),
    "a list": ("return [str(x) for x in table['x']]", {"predictions": ["1.0", "2.0"]}),
    "a matrix": ("return table.to_numpy()", {"predictions": [[1.0], [2.0]]}),
    "a table": (
        TABLE,
        {"predictions": [{"y": 2.0, "label": "high"}, {"y": 4.0, "label": "high"}]},
    ),
    "a mapping": (
        "return {'a': table['x'].to_numpy(), 'b': ['p', 'q']}",
        {"predictions": [1.0, 2.0], "outputs": {"b": ["p", "q"]}},
    ),
}


@pytest.mark.parametrize(("predict", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_the_runner_answers_whatever_form_predict_returns(
    tmp_path: Path, predict: str, expected: dict[str, Any]
) -> None:
    root = pyfuncs.scripted(tmp_path / f"v{abs(hash(predict))}", predict)
    answer = load(root).predict({"instances": [[1], [2]]})
    assert json.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)) == expected


FAULTS: dict[str, tuple[str, type[Exception], str]] = {
    "a ValueError": ("raise ValueError('unknown colour')", SignatureMismatch, "unknown colour"),
    "another error": ("return table['nothing']", ModelFailed, "KeyError"),
    "NaN": ("return table['x'] * float('nan')", NotFinite, "NaN"),
    "NaN in a table": ("return table.assign(y=float('inf'))", NotFinite, "'y'"),
    "one row for all": ("return table['x'].to_numpy()[:1]", WrongShape, "expected 2 rows"),
    "a number": ("return 7", ModelFailed, "expected an array, a table or a mapping"),
    "nothing": ("return None", ModelFailed, "got NoneType"),
}


@pytest.mark.parametrize(("predict", "error", "words"), FAULTS.values(), ids=FAULTS)
def test_what_goes_wrong_in_a_runner_is_the_same_error_here(
    tmp_path: Path, predict: str, error: type[Exception], words: str
) -> None:
    servable = load(pyfuncs.scripted(tmp_path / f"v{abs(hash(predict))}", predict))
    with pytest.raises(error, match=words):
        servable.predict({"instances": [[1], [2]]})


def test_the_runner_takes_texts_dates_and_missing_values(tmp_path: Path) -> None:
    columns = [
        {"name": "city", "type": "string", "required": True},
        {"name": "day", "type": "datetime", "required": True},
        {"name": "height", "type": "double", "required": False},
        {"name": "open", "type": "boolean", "required": True},
    ]
    predict = (
        "return (table['city'] + table['day'].dt.strftime('%d.%m.') + table['open'].astype(str)"
        " + table['height'].isna().astype(str)).to_list()"
    )
    root = pyfuncs.scripted(tmp_path / "vt", predict, columns=columns)
    row = {"city": "São Paulo ", "day": "2026-11-21", "open": True}
    assert load(root).predict({"dataframe_records": [row]}) == {
        "predictions": ["São Paulo 21.11.TrueTrue"]
    }


def test_a_runners_version_without_a_signature_is_refused_with_what_to_do(tmp_path: Path) -> None:
    root = pyfuncs.scripted(tmp_path / "v")
    (root / "MLmodel").write_text('{"flavors": {"python_function": {"loader_module": "x"}}}')
    with pytest.raises(BundleInvalid, match=r"no signature.*infer_signature"):
        load(root)
