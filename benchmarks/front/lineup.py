"""Who is compared, on which model, with which goals. Two workers each.

Those that are *near* are written by hand, for speed; all others are as their documentation has it.
A worker's memory has no goal against the near ones: they are the same libraries and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.front.contender import Contender, Goals, Start, baton, peer
from benchmarks.front.models import Model, numbers
from benchmarks.node import ROOT, free_port

OURS = "baton"
BY_HAND = "FastAPI + onnxruntime"
BARE = "bare gunicorn + onnxruntime"
MLFLOW = "mlflow models serve"
_NEAR, _MODELS, _FRAMEWORKS = "peers", "peers-models", "peers-frameworks"
_COLUMNS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
_TOLD = (
    *("mlflow", "mlserver", "litserve", "bentoml", "ray", "fastapi", "uvicorn", "gunicorn"),
    *("scikit-learn", "prophet", "tensorflow-cpu", "tensorflow", "keras", "onnxruntime"),
)
_AS_DEPLOYED = Goals(times=25, memory=0.5)


def missing(contenders: Sequence[Contender]) -> list[str]:
    """The environments that have to be installed first."""
    wanted = {one.environment for one in contenders} - {""}
    return sorted(
        name for name in wanted if not (ROOT / "var" / "environments" / name / "installed").exists()
    )


def versions(contenders: Sequence[Contender]) -> str:
    """What the peers are made of, by the locks of their environments."""
    found: dict[str, str] = {}
    for name in sorted({one.environment for one in contenders} - {""}):
        text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
        found |= dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))
    return ", ".join(f"{name} {found[name]}" for name in _TOLD if name in found)


def on_iris(model: Model, home: Path) -> list[Contender]:
    """One row of a random forest."""
    here = partial(Contender, model=model, asked=_instances, said=_predictions)
    apart = partial(here, environment=_FRAMEWORKS, path="/predict", goals=_AS_DEPLOYED)
    pickled = {"MODEL": str(model.files["joblib"])}
    quiet = {**pickled, "BENTOML_HOME": "{home}/bentoml", "BENTOML_DO_NOT_TRACK": "true"}
    return [
        here(OURS, start=baton({"BATON_MODELS": "iris"}, home), path="/predict"),
        *_near(here, model, Goals(times=1.2, times_alone=1.0)),
        here(
            BARE,
            start=peer(
                _NEAR,
                *("gunicorn", "bare_wsgi:app", "--workers", "2", "--threads", "4"),
                *("--bind", "127.0.0.1:{port}", "--keep-alive", "75"),
                environ={"MODEL": str(model.files["onnx"])},
            ),
            path="/predict",
            environment=_NEAR,
            goals=Goals(cpu=1.5),
        ),
        _mlflow(model, partial(_split, _COLUMNS), Goals(times=40, memory=0.5)),
        here(
            "FastAPI + scikit-learn",
            start=_uvicorn(_MODELS, "fastapi_sklearn:app", pickled),
            path="/predict",
            environment=_MODELS,
            goals=_AS_DEPLOYED,
        ),
        apart(
            "LitServe",
            start=peer(_FRAMEWORKS, "python", "-m", "litserve_sklearn", "{port}", environ=pickled),
        ),
        apart(
            "BentoML",
            start=peer(
                _FRAMEWORKS,
                *("bentoml", "serve", "bentoml_sklearn:Forest"),
                *("--host", "127.0.0.1", "--port", "{port}"),
                environ=quiet,
            ),
        ),
        apart(
            "Ray Serve",
            start=peer(
                _FRAMEWORKS,
                *("python", "-m", "ray_sklearn", "{port}", "{home}/ray"),
                environ={**pickled, "RAY_USAGE_STATS_ENABLED": "0"},
            ),
        ),
        Contender(
            "MLServer",
            model,
            _mlserver(model.files["joblib"]),
            "/v2/models/iris/infer",
            asked=_tensor,
            said=lambda answer: numbers(answer["outputs"][0]["data"]),
            goals=_AS_DEPLOYED,
            environment=_FRAMEWORKS,
        ),
    ]


def single(ours: Contender, home: Path) -> Contender:
    """The same server with one worker."""
    return replace(ours, start=baton({"BATON_MODELS": ours.model.name, "BATON_WORKERS": "1"}, home))


def on_forecast(model: Model, home: Path) -> list[Contender]:
    """30 days of a Prophet model, with the band; other days in each request."""
    asked = partial(_days, ("ds",))
    goals = Goals(times=30, memory=0.5)
    start = baton({"BATON_MODELS": "ProphetModel"}, home)
    return [
        Contender(OURS, model, start, "/invocations", asked, _yhat),
        _mlflow(model, asked, goals, said=_yhat),
        Contender(
            "FastAPI + Prophet",
            model,
            _uvicorn(_MODELS, "fastapi_prophet:app", {"MODEL": str(model.files["json"])}),
            "/predict",
            lambda days: {"ds": days},
            _yhat,
            goals,
            _MODELS,
        ),
    ]


def on_lstm(model: Model, home: Path) -> list[Contender]:
    """One window of an LSTM."""
    here = partial(Contender, model=model, asked=_instances, said=_predictions)
    goals = Goals(times=200, memory=0.5)
    keras = {"MODEL": str(model.files["keras"])}
    start = baton({"BATON_BUNDLE": str(model.files["bundle"])}, home)
    return [
        here(OURS, start=start, path="/predict"),
        *_near(here, model, Goals(times=1.0)),
        _mlflow(model, _instances, goals),
        here(
            "FastAPI + Keras",
            start=_uvicorn(_MODELS, "fastapi_keras:app", keras),
            path="/predict",
            environment=_MODELS,
            goals=goals,
        ),
    ]


def is_near(contender: Contender) -> bool:
    """Whether it is this server, or one of those written by hand for speed."""
    return contender.environment in ("", _NEAR)


def _near(here: Any, model: Model, goals: Goals) -> list[Contender]:
    start = _uvicorn(_NEAR, "fastapi_onnx:app", {"MODEL": str(model.files["onnx"])})
    return [here(BY_HAND, start=start, path="/predict", environment=_NEAR, goals=goals)]


def _mlflow(model: Model, asked: Any, goals: Goals, said: Any = None) -> Contender:
    start = peer(
        _MODELS,
        *("mlflow", "models", "serve", "-m", str(model.files["mlflow"]), "--env-manager", "local"),
        *("--workers", "2", "--host", "127.0.0.1", "--port", "{port}"),
        environ={"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    path, read = "/invocations", said or _predictions
    return Contender(MLFLOW, model, start, path, asked, read, goals, _MODELS)


def _uvicorn(environment: str, app: str, environ: Mapping[str, str]) -> Start:
    quiet = ("--workers", "2", "--log-level", "warning", "--port", "{port}")
    return peer(environment, "uvicorn", app, *quiet, environ=environ)


def _mlserver(pickled: Path) -> Start:
    @contextmanager
    def start(scratch: Path, port: int) -> Iterator[int]:
        folder = scratch / f"mlserver-{port}"
        folder.mkdir()
        others = {"grpc_port": free_port(), "metrics_port": free_port()}
        server = {"host": "127.0.0.1", "http_port": port, "parallel_workers": 2, "debug": False}
        served = {
            "name": "iris",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(pickled)},
        }
        (folder / "settings.json").write_text(json.dumps(server | others), encoding="utf-8")
        (folder / "model-settings.json").write_text(json.dumps(served), encoding="utf-8")
        with peer(_FRAMEWORKS, "mlserver", "start", str(folder))(scratch, port) as pid:
            yield pid

    return start


def _instances(sample: Any) -> Mapping[str, Any]:
    return {"instances": [sample]}


def _split(columns: Sequence[str], sample: Any) -> Mapping[str, Any]:
    return {"dataframe_split": {"columns": columns, "data": [sample]}}


def _days(columns: Sequence[str], sample: Any) -> Mapping[str, Any]:
    return {"dataframe_split": {"columns": columns, "data": [[day] for day in sample]}}


def _tensor(sample: Any) -> Mapping[str, Any]:
    tensor = {"name": "x", "shape": [1, len(sample)], "datatype": "FP32", "data": [sample]}
    return {"inputs": [tensor]}


def _predictions(answer: Any) -> Sequence[float]:
    return numbers(answer["predictions"])


def _yhat(answer: Any) -> Sequence[float]:
    return [float(row["yhat"]) for row in answer["predictions"]]
