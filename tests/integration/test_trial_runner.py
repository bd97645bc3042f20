"""Versions that are code, in the trial: allowed by a switch, and ended there if they are bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.bundle import Manifest
from registry.errors import GatesRefused
from registry.promotion import promote
from registry.trial import SubprocessTrial, TrialReport
from tests.fakes import World
from tests.servingfakes.bad_versions import MARKER, write_loader, write_pickle
from tests.servingfakes.pyfuncs import forest, scripted

ENGINES = ("onnx", "prophet", "runner")


def tried(path: Path, *, seconds: float = 60) -> TrialReport:
    trial = SubprocessTrial(seconds=seconds, memory_mb=4096, engines=ENGINES)
    return trial.run(path, manifest=Manifest.of(path))


@pytest.mark.parametrize("as_skops", [False, True], ids=["cloudpickle", "skops"])
def test_a_forest_of_scikit_learns_passes_where_the_runner_is_allowed(
    tmp_path: Path, as_skops: bool
) -> None:
    forest(tmp_path / "v", as_skops=as_skops)
    report = tried(tmp_path / "v")
    assert report.ok, report.reason
    assert (report.engine, report.kind) == ("runner", "tabular")
    assert report.golden_source == "input example"
    assert report.golden is not None
    assert report.golden.examples[0]["response"] == {"predictions": [0, 1, 2]}
    assert 0 < report.latency_ms < 10_000
    assert report.signature is not None


@pytest.mark.parametrize("engines", [("onnx", "prophet"), ENGINES], ids=str)
def test_it_is_promoted_only_where_the_runner_is_allowed(
    tmp_path: Path, engines: tuple[str, ...]
) -> None:
    world = World(tmp_path)
    world.trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=engines)
    version = world.client.register("iris", scripted(tmp_path / "v"), metrics={})
    if "runner" in engines:
        promote(world.ports, version, actor="ada")
    else:
        with pytest.raises(GatesRefused, match="BATON_ENGINES has to name 'runner' too"):
            promote(world.ports, version, actor="ada")
    assert (world.ledger.head("iris") is not None) == ("runner" in engines)
    world.ledger.close()


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "code that raises": ({"load": "raise OSError('no such device')"}, "no such device"),
    "a module that is not here": ({"load": "import xgboost_of_theirs"}, "xgboost_of_theirs"),
    "an exit": ({"load": "import sys; sys.exit(0)"}, "ended without a report"),
    "a crash": ({"load": "import ctypes; ctypes.string_at(0)"}, "crashed (signal 11)"),
    "a hang": ({"load": "import time; time.sleep(600)"}, "hung"),
    "20 GB": ({"load": "import numpy; numpy.ones(20 << 27)"}, "needs more than 4096 MiB"),
    "the network": (
        {"load": "import socket; socket.create_connection(('127.0.0.1', 22), 1)"},
        "unreachable",
    ),
    "a secret": ({"load": "import os; raise OSError(os.environ.get('BATON_LEDGER_URL'))"}, "None"),
    "a wrong answer": ({"predict": "return table['x'].to_numpy()[:1]"}, "expected 2 rows"),
    "NaN": ({"predict": "return table['x'] * float('nan')"}, "NaN or Infinity"),
}


@pytest.mark.parametrize(("how", "reason"), BAD.values(), ids=BAD)
def test_bad_code_ends_in_the_trial_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], reason: str
) -> None:
    monkeypatch.setenv("BATON_LEDGER_URL", "postgresql://baton:secret@db/baton")
    report = tried(scripted(tmp_path / "v", **how), seconds=8)
    assert (report.ok, reason in report.reason) == (False, True), report.reason
    assert "secret" not in report.reason


PICKLE = "flavors: {python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}, "
SIGNATURE = """
signature: {inputs: '[{"name": "x", "type": "double", "required": true}]'}
"""


@pytest.mark.parametrize("write", [write_pickle, write_loader])
def test_where_the_runner_is_allowed_code_does_run_which_is_what_the_switch_is_for(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    """So the tests that find no marker where it is not allowed can fail."""
    write(tmp_path / "v")
    mlmodel = tmp_path / "v" / "MLmodel"
    text = mlmodel.read_text().replace("flavors: {sklearn", f"{PICKLE}sklearn")
    mlmodel.write_text(text + SIGNATURE)
    assert not tried(tmp_path / "v").ok
    assert (tmp_path / MARKER).exists()
