"""package: make the version's folder complete, before anything of it is registered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from registry.bundle import FOLDER, Bundle
from registry.errors import StepFailed
from registry.profile import LabelProfile, NumberProfile, ReferenceProfile
from training import onnx_model
from training.batching import measure
from training.job import Job
from training.workload import Packaged, Workload


def package(workload: Workload, job: Job) -> None:
    """Write MLflow's model folder and `baton/`; raises StepFailed if it is not complete."""
    files = job.workspace
    folder = files.fresh(files.bundle)
    files.artifacts.mkdir(parents=True, exist_ok=True)
    made = workload.package(workload.load(files.model), job.material(), folder)
    files.write(
        f"bundle/{FOLDER}/bundle.json",
        {
            "format": 1,
            "kind": workload.about.kind,
            "engine": made.engine,
            "model_file": made.model_file,
            "workload": workload.about.name,
            **_batching(made, folder / made.model_file),
        },
    )
    files.write(f"bundle/{FOLDER}/model_schema.json", made.schema)
    files.write(f"bundle/{FOLDER}/golden.json", made.golden.to_json())
    files.write(f"bundle/{FOLDER}/evaluation.json", files.read("evaluation.json"))
    files.write(f"bundle/{FOLDER}/profile.json", _profile(workload, job, made).to_json())
    if missing := Bundle.open(folder).missing():
        raise StepFailed(f"package {workload.about.name}: missing {', '.join(missing)}")
    job.run.log_artifacts(files.artifacts)


def _batching(made: Packaged, model: Path) -> dict[str, Any]:
    """What joint calls would gain, measured, where the workload gave rows to measure with."""
    if made.feed is None:
        return {}
    golden = made.golden
    return measure(onnx_model.asked(model), made.feed, rtol=golden.rtol, atol=golden.atol).to_json()


def _profile(workload: Workload, job: Job, made: Packaged) -> ReferenceProfile:
    """What was learnt from, column by column, and what is answered; dates have no distribution."""
    kinds = {field.name: field.kind for field in workload.about.fields}
    train = job.material().train
    predicted = _predicted(workload, job)
    columns = {name: train[name] for name, kind in kinds.items() if kind == "number"}
    return ReferenceProfile(
        rows=len(train),
        numbers={
            name: NumberProfile.of(np.asarray(values, dtype=float))
            for name, values in {**columns, **made.logged}.items()
        },
        labels={
            name: LabelProfile.of(train[name]) for name, kind in kinds.items() if kind == "label"
        },
        predicted=_profile_of(predicted, is_label="label" in kinds.values()) if predicted else None,
        predicted_rows=len(predicted),
    )


def _predicted(workload: Workload, job: Job) -> Sequence[Any]:
    """Answers to the hold-out; none of forecasts, whose level moves on with the dates."""
    if workload.about.kind == "forecast" or not job.workspace.has("predicted.json"):
        return ()
    rows: Sequence[Any] = job.workspace.read("predicted.json")["rows"]
    return rows


def _profile_of(predicted: Sequence[Any], *, is_label: bool) -> NumberProfile | LabelProfile:
    if is_label:
        return LabelProfile.of(predicted)
    return NumberProfile.of(np.asarray(predicted, dtype=float))
