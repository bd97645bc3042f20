"""Versions that are code: MLflow's `pyfunc`, as registered from anywhere."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

X = ({"name": "x", "type": "double", "required": True},)

_SCRIPT = """
class Model:
    def predict(self, table, params=None):
{predict}

def _load_pyfunc(path):
{load}
    return Model()
"""


def scripted(
    path: Path,
    predict: str = "return table['x'].to_numpy() * 3",
    *,
    load: str = "",
    columns: Any = X,
    inputs: Any = None,
    example: Any = None,
    params: Any = (),
) -> Path:
    """A version whose loader module is `predict` and `load`, statements of Python.

    `predict` sees `table`, a DataFrame of `columns`; `inputs` is another signature, in MLflow's
    words, and `params` what may be said beside. Its input example are two rows, so that it can be
    seen to answer each by itself.
    """
    code = path / "code"
    code.mkdir(parents=True)
    module = f"loader_{path.name.replace('-', '_')}"
    text = _SCRIPT.format(predict=_indented(predict, 8), load=_indented(load or "pass", 4))
    (code / f"{module}.py").write_text(text)
    flavour = {"loader_module": module, "code": "code", "data": "code", "env": "conda.yaml"}
    signature = {"inputs": json.dumps(list(inputs or columns)), "params": json.dumps(params)}
    mlmodel = {"flavors": {"python_function": flavour}, "signature": signature}
    (path / "MLmodel").write_text(json.dumps(mlmodel))
    example = example or {"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.5]]}}
    (path / "serving_input_example.json").write_text(json.dumps(example))
    return path


def forest(path: Path, *, as_skops: bool = False) -> tuple[Any, Any]:
    """A random forest of scikit-learn's as `mlflow.sklearn` saves it; the model and its rows.

    With cloudpickle it was fit on a table and takes columns; with skops, a tensor.
    """
    import mlflow.sklearn  # noqa: PLC0415 - only where one is made
    from mlflow.models import infer_signature  # noqa: PLC0415
    from sklearn.datasets import load_iris  # noqa: PLC0415
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    x, y = load_iris(return_X_y=True, as_frame=not as_skops)
    model = RandomForestClassifier(n_estimators=20, random_state=0).fit(x, y)
    form: dict[str, Any] = {"serialization_format": "cloudpickle"}
    if as_skops:
        form = {
            "serialization_format": "skops",
            "skops_trusted_types": ["sklearn.tree._tree.Tree"],
        }
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=infer_signature(x, model.predict(x)),
        input_example=x[::50],
        pip_requirements=["scikit-learn"],
        **form,
    )
    return model, x


def _indented(text: str, by: int) -> str:
    return textwrap.indent(textwrap.dedent(text), " " * by)
