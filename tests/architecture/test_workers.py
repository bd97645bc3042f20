"""A worker imports nothing that can train, unpickle, or reach a registry or a database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.engines.runner import socket_of
from tests.servingfakes import models
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.node import ROOT
from tests.servingfakes.pyfuncs import scripted
from tests.servingfakes.runners import listening
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder

FORBIDDEN = (
    "mlflow",
    "prophet",
    "pandas",
    "sklearn",
    "tensorflow",
    "sqlalchemy",
    "boto3",
    "matplotlib",
    "PIL",  # loaded by the first model of pictures, and there is none
)
WORKER = """
import json, sys
from serving.application import application
client = application().test_client()
asked = {
    "iris": client.post("/models/iris/predict", json={"instances": [[2]]}),
    "code": client.post("/models/code/predict", json={"instances": [[2]]}),
    "petr4": client.get("/predict/petr4?days=2"),
    "models": client.get("/models/petr4"), "metrics": client.get("/metrics"),
    "ready": client.get("/readyz"), "mistake": client.post("/predict", json={"k": 1}),
    "csv": client.post("/invocations", data="x\\n2\\n", content_type="text/csv"),
    "tensor": client.post("/v2/models/iris/infer", json={"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [2]}]}),
}
exec(sys.argv[1])
print(json.dumps({
    "answers": {name: [reply.status_code, reply.text] for name, reply in asked.items()},
    "modules": sorted(sys.modules),
}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store holds an ONNX, a Prophet and a runner's version, all in Production."""
    made = tmp_path_factory.mktemp("worker")
    settings = made / "var"
    digests = serve(
        settings,
        {
            "iris": folder(made / "iris", models.linear(3)),
            "petr4": prophet_folder(made / "petr4"),
            "code": scripted(made / "code"),
        },
    )
    runner = socket_of(settings / "node", digests["code"])
    runner.parent.mkdir()
    listening(lambda arrays: {"y": arrays["x"] * 3}).rename(runner)
    return settings


def run(home: Path, also: str = "") -> tuple[dict[str, tuple[int, str]], list[str]]:
    """What a fresh worker answered, and the forbidden packages it had imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, also],
        cwd=ROOT,
        env={**os.environ, "BATON_HOME": str(home), "BATON_ENGINES": "onnx,prophet,runner"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    packages = {name.partition(".")[0] for name in told["modules"]}
    return told["answers"], sorted(packages & set(FORBIDDEN))


def test_a_worker_that_answered_every_kind_has_imported_nothing_forbidden(home: Path) -> None:
    answers, imported = run(home)
    assert {name: status for name, (status, _) in answers.items()} == {
        "iris": 200,
        "code": 200,
        "petr4": 200,
        "models": 200,
        "metrics": 200,
        "ready": 200,
        "mistake": 400,
        "csv": 400,
        "tensor": 200,
    }
    assert json.loads(answers["iris"][1])["predictions"] == [[6.0]]
    assert json.loads(answers["code"][1])["predictions"] == [6.0]
    assert len(json.loads(answers["petr4"][1])["predictions"]) == 2
    assert imported == []


def test_only_a_request_for_a_job_loads_what_reaches_a_database(home: Path) -> None:
    asked = "asked['jobs'] = client.get('/jobs')"
    answers, imported = run(home, asked)
    assert (answers["jobs"][0], imported) == (200, ["sqlalchemy"])


def test_only_feedback_loads_what_reaches_its_database(home: Path) -> None:
    asked = "asked['told'] = client.post('/feedback', json=[])"
    answers, imported = run(home, asked)
    assert (answers["told"][0], imported) == (200, ["sqlalchemy"])


def test_the_check_sees_a_forbidden_import(home: Path) -> None:
    assert "sqlalchemy" in run(home, "import sqlalchemy.orm")[1]
