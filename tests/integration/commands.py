"""An embedded registry with real ONNX models in it, and the commands run on it as people do."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from click.testing import CliRunner
from mlflow import MlflowClient
from onnx import TensorProto, helper

from registry.__main__ import main
from registry.settings import Settings
from tests.mlflow_home import MlflowTemplate

MODEL = "tiny"
ROOT = Path(__file__).resolve().parents[2]
GATES = f"""
[[models.{MODEL}.gates]]
gate = "bound"
metric = "accuracy"
min = 0.9
"""
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """Its one JSON object."""
        body: dict[str, Any] = json.loads(self.out)
        return body


@dataclass(frozen=True)
class Shell:
    """A BATON_HOME, and the environment of a person who works in it."""

    settings: Settings
    environ: dict[str, str]

    @property
    def mlflow(self) -> MlflowClient:
        """What MLflow's UI does, as code."""
        return MlflowClient(self.settings.tracking_uri, self.settings.registry_uri)

    def call(self, *arguments: str, **environ: str) -> Done:
        """The same command in this process, where MLflow is imported already: seconds cheaper."""
        unset = dict.fromkeys(k for k in os.environ if k.startswith(("BATON_", "MLFLOW_")))
        begun = time.monotonic()
        with contextlib.chdir(self.settings.home):
            done = CliRunner(env={**unset, **self.environ, **environ}).invoke(main, arguments)
        err = done.stderr
        if done.exc_info and not isinstance(done.exception, SystemExit | None):
            err += "".join(traceback.format_exception(done.exception))
        return Done(done.exit_code, done.stdout, err, time.monotonic() - begun)

    def run(self, *arguments: str, **environ: str) -> Done:
        """Run `python -m registry …` to its end, as a process."""
        begun = time.monotonic()
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.settings.home,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start `python -m registry …`."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.settings.home, env=self.environ | environ
        )

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "registry", *arguments]

    def stages(self) -> dict[int, str]:
        """Version → stage, as MLflow shows it."""
        found = self.mlflow.search_model_versions(f"name='{MODEL}'")
        return {int(v.version): v.current_stage for v in found}

    def alias(self) -> int | None:
        """Where MLflow's alias `production` points."""
        found = self.mlflow.get_registered_model(MODEL).aliases.get("production")
        return None if found is None else int(found)

    def tags(self, version: int) -> dict[str, str]:
        """The tags of a version."""
        return dict(self.mlflow.get_model_version(MODEL, str(version)).tags)


@dataclass(frozen=True)
class Registered:
    """Four versions of one model, made once a session: two good ones, a bad one, one that is none.

    Each test gets the registry's file copied; the artifacts, which nobody changes, stay.
    """

    home: Path

    @classmethod
    def make(cls, template: MlflowTemplate, home: Path) -> Registered:
        """Register them through mlflow.onnx, as anybody would; takes seconds."""
        import mlflow  # noqa: PLC0415 - slow

        settings = template.copy(home)
        mlflow.set_tracking_uri(settings.tracking_uri)
        mlflow.create_experiment("here", str(settings.artifacts_dir))
        mlflow.set_experiment("here")
        for weight, accuracy in ((1.0, 0.95), (2.0, 0.97), (3.0, 0.5), (4.0, 0.99)):
            with mlflow.start_run() as run:
                mlflow.log_metric("accuracy", accuracy)
                made = mlflow.onnx.log_model(_graph(weight), name="model")
            mlflow.register_model(made.model_uri, MODEL)
        _break(settings, run.info.run_id)
        return cls(home)

    def shell(self, home: Path) -> Shell:
        """A registry of a test's own."""
        home.mkdir(parents=True)
        shutil.copy(self.home / "mlflow.db", home / "mlflow.db")
        home.joinpath("gates.toml").write_text(GATES)
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        environ = {
            **own,
            "BATON_HOME": str(home),
            "BATON_GATES": str(home / "gates.toml"),
            "BATON_ACTOR": "ada",
            "BATON_POLL_SECONDS": "0.2",
            "PYTHONPATH": str(ROOT),
        }
        settings = dataclasses.replace(Settings(), home=home).resolved()
        return Shell(settings, environ)


def _graph(weight: float) -> onnx.ModelProto:
    """Y = x · [weight, weight], over any number of rows."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [weight, weight])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _break(settings: Settings, run_id: str) -> None:
    """Make the last version's file none that loads."""
    client = MlflowClient(settings.tracking_uri, settings.registry_uri)
    newest = max(client.search_model_versions(f"name='{MODEL}'"), key=lambda v: int(v.version))
    source = client.get_model_version_download_uri(MODEL, newest.version)
    assert newest.run_id == run_id
    [file] = Path(source.removeprefix("file://")).rglob("model.onnx")
    file.write_bytes(file.read_bytes()[:40])
