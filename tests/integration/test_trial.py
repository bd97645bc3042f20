"""The trial, in its real throw-away process: what is good passes, what is bad ends there."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.bundle import Golden, Manifest
from registry.trial import SubprocessTrial, TrialReport
from tests.servingfakes import models
from tests.servingfakes.node import ROOT
from tests.servingfakes.versions import batched, folder

ENGINES = ("onnx", "prophet")


def tried(
    path: Path,
    *,
    seconds: float = 60,
    memory_mb: int = 4096,
    golden: Golden | None = None,
    requests: tuple[Mapping[str, Any], ...] = (),
) -> TrialReport:
    trial = SubprocessTrial(seconds=seconds, memory_mb=memory_mb, engines=ENGINES)
    manifest = Manifest(Manifest.of(path).files, golden=golden)
    return trial.run(path, manifest=manifest, requests=requests)


def examples(request: float, response: float) -> Golden:
    return Golden(({"request": {"instances": [[request]]}, "response": _answer(response)},))


def _answer(*values: float) -> dict[str, Any]:
    return {"predictions": [[value] for value in values]}


def test_a_good_version_passes_with_what_was_measured(tmp_path: Path) -> None:
    path = folder(tmp_path / "v", models.linear(3))
    report = tried(path, golden=examples(2, 6), requests=({"instances": [[5], [7]]},))
    assert report.ok, report.reason
    assert (report.engine, report.kind, report.golden_source) == ("onnx", "tabular", "bundle")
    assert (report.worst_error, report.answers) == (0, (_answer(15, 21),))
    assert 0 < report.latency_ms < 10_000
    assert 0 < report.load_ms < 60_000
    assert 10 < report.memory_mb < 4096
    assert report.signature is not None
    assert [str(tensor) for tensor in report.signature.tensors] == ["float32[-1, 1]"]


def test_the_bundles_own_golden_examples_are_what_it_is_held_against(tmp_path: Path) -> None:
    own = {"kind": "tabular", "engine": "onnx", "model_file": "model.onnx"}
    files = {
        "baton/bundle.json": json.dumps(own),
        "baton/golden.json": json.dumps(examples(2, 7).to_json()),
    }
    report = tried(folder(tmp_path / "v", models.linear(3), files=files))
    assert (report.ok, "expected 7, got 6.0" in report.reason) == (False, True)


@pytest.mark.parametrize(
    ("model", "asked", "answer", "ok"),
    [
        (models.linear(3), [[2.0], [4.0]], [[6.0], [12.0]], True),
        (models.linear(3), [[2.0], [2.0]], [[6.0], [6.0]], False),
        (models.linear(3), [[2.0]], [[6.0]], False),
        (models.centred(), [[2.0], [4.0]], [[-1.0], [1.0]], False),
    ],
    ids=["row by row", "the same row twice", "one row", "centred"],
)
def test_joint_calls_are_believed_only_where_each_row_is_seen_to_be_answered_by_itself(
    tmp_path: Path, model: bytes, asked: Any, answer: Any, ok: bool
) -> None:
    """Two clients' rows in one call of a model that centres them would both be answered wrongly."""
    example = {"request": {"instances": asked}, "response": {"predictions": answer}}
    path = folder(tmp_path / "v", model, files=batched(8, Golden((example,))))
    report = tried(path)
    assert report.ok is ok, report.reason
    if not ok:
        assert "bundle.json: batching: expected that each row" in report.reason


def test_a_version_without_examples_is_held_against_its_input_example(tmp_path: Path) -> None:
    files = {"serving_input_example.json": json.dumps({"inputs": [[4]]})}
    report = tried(folder(tmp_path / "v", models.linear(3), files=files))
    assert (report.ok, report.golden_source) == (True, "input example")
    assert report.golden is not None
    assert report.golden.examples[0]["response"] == _answer(12)


def test_a_version_without_any_example_is_held_against_a_synthetic_row(tmp_path: Path) -> None:
    report = tried(folder(tmp_path / "v", models.linear(3)))
    assert (report.ok, report.golden_source) == (True, "synthetic row")


GOOD = models.linear(3)
BAD: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "ONNX Runtime cannot load it"),
    "truncated": (GOOD[: len(GOOD) // 2], "ONNX Runtime cannot load it"),
    "garbage": (b"\x00garbage\xff" * 100, "ONNX Runtime cannot load it"),
    "a text": (b"import os", "ONNX Runtime cannot load it"),
    "NaN": (models.not_a_number(), "the model answered NaN or Infinity"),
}


@pytest.mark.parametrize(("model", "reason"), BAD.values(), ids=BAD)
def test_a_bad_model_file_is_refused_with_a_reason(
    tmp_path: Path, model: bytes, reason: str
) -> None:
    report = tried(folder(tmp_path / "v", model))
    assert (report.ok, reason in report.reason) == (False, True), report.reason


def test_a_golden_example_answered_wrongly_is_refused_with_both_numbers(tmp_path: Path) -> None:
    report = tried(folder(tmp_path / "v", models.linear(3)), golden=examples(2, 6.001))
    assert not report.ok
    assert "golden example 0" in report.reason
    assert "expected 6.001, got 6.0" in report.reason


def test_bytes_that_are_not_the_judged_ones_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "v", models.linear(3))
    judged = Manifest.of(path)
    (path / "model.onnx").write_bytes(models.linear(4))
    report = SubprocessTrial(seconds=60, memory_mb=4096, engines=ENGINES).run(path, manifest=judged)
    assert (report.ok, "expected sha256" in report.reason) == (False, True)


def test_a_model_that_never_answers_is_ended(tmp_path: Path) -> None:
    report = tried(folder(tmp_path / "v", models.endless()), seconds=4)
    assert (report.ok, report.reason) == (False, "hung: no answer within 4 s")
    assert _processes_on(tmp_path) == []


def test_a_trial_that_has_no_time_at_all_is_ended(tmp_path: Path) -> None:
    report = tried(folder(tmp_path / "v", models.linear(3)), seconds=0.01)
    assert (report.ok, report.reason) == (False, "hung: no answer within 0.01 s")


def _processes_on(path: Path) -> list[str]:
    """Command lines that name a path, of any process."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(entry.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return [command for command in commands if str(path) in command]


def test_a_model_that_wants_more_memory_than_allowed_is_refused(tmp_path: Path) -> None:
    report = tried(folder(tmp_path / "v", models.greedy(20)), memory_mb=2048)
    assert (report.ok, "Failed to allocate memory" in report.reason) == (False, True)


def test_the_memory_of_a_trial_is_its_own_and_not_that_of_who_started_it(tmp_path: Path) -> None:
    ballast = bytearray(600 * 1024 * 1024)
    ballast[::4096] = b"x" * len(ballast[::4096])
    report = tried(folder(tmp_path / "v", models.linear(3)))
    del ballast
    assert report.ok, report.reason
    assert report.memory_mb < 500


class Marker:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self._path,))


def test_a_format_that_could_execute_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    path = tmp_path / "sklearn"
    path.mkdir()
    (path / "MLmodel").write_text(
        "flavors:\n  sklearn: {pickled_model: model.pkl, serialization_format: cloudpickle}\n"
        "  python_function: {loader_module: evil, model_path: model.pkl, code: code}\n"
    )
    (path / "code").mkdir()
    (path / "code" / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    (path / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'w')")
    (path / "model.pkl").write_bytes(pickle.dumps(Marker(marker)))
    report = tried(path)
    assert not report.ok
    assert "it needs engine 'runner'; allowed here (BATON_ENGINES)" in report.reason
    assert "has to be packaged as ONNX first" in report.reason
    assert not marker.exists()
    pickle.loads((path / "model.pkl").read_bytes())  # noqa: S301 - the marker works
    assert marker.exists()


def test_it_says_how_far_it_was_cut_off(tmp_path: Path) -> None:
    report = tried(folder(tmp_path / "v", models.linear(3)))
    assert report.isolation in ("network namespace", "none")


def test_people_get_the_same_report_as_json(tmp_path: Path) -> None:
    path = folder(tmp_path / "v", models.linear(3))
    command = [sys.executable, "-m", "serving.trial", str(path), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    report = json.loads(done.stdout)
    assert (report["ok"], report["engine"], report["isolation"]) == (
        True,
        "onnx",
        tried(path).isolation,
    )
