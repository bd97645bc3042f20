"""The version that `eye_disease` registers: drawn data said to be so, and served as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from registry.bundle import Bundle, Manifest
from registry.profile import ReferenceProfile, population_stability
from serving.kinds import Limits
from serving.servable import Servable
from tests.contract.trainings import TINY, Setting
from tests.servingfakes.pictures import b64
from training.images.anatomy import CLASSES
from training.images.camera import CAMERAS
from training.images.pictures import encode
from training.images.retina import draw
from training.monitoring.reference import read

CAVEAT = "synthetic, not clinical"


@pytest.fixture(scope="module")
def eye(trained_once: Callable[[str], Setting]) -> Setting:
    return trained_once("eye_disease")


@pytest.fixture(scope="module")
def servable(eye: Setting) -> Servable:
    """The version as a worker has it: this process cannot import TensorFlow, or does not."""
    limits = Limits(max_rows=100, max_horizon=1)
    return Servable.load(eye.version, Manifest.of(eye.version), allowed=("onnx",), limits=limits)


def test_the_version_answers_its_golden_pictures_as_keras_did(servable: Servable) -> None:
    assert servable.warm() < 1e-5
    assert servable.golden is not None
    assert len(servable.golden.examples) == len(CLASSES)


def test_a_picture_is_answered_with_label_confidence_and_probabilities(servable: Servable) -> None:
    pictures = [draw((8, n), name, size=64, camera="standard_camera")[0]
                for n, name in enumerate(CLASSES)]  # fmt: skip
    body = {"instances": [{"b64": b64(encode(one))} for one in pictures]}
    told = servable.predict(body)["predictions"]
    assert len(told) == len(CLASSES)
    for one in told:
        assert [*one["probabilities"]] == [*CLASSES]
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert one["confidence"] == one["probabilities"][one["label"]]


def test_parity_was_proven_on_every_held_out_picture(eye: Setting) -> None:
    shown = eye.client.get_run(eye.trained.run_id).info.artifact_uri.removeprefix("file://")
    with open(f"{shown}/onnx_model/parity.json", encoding="utf-8") as file:  # noqa: PTH123
        proof = json.load(file)
    assert proof["rows"] == TINY["eye_disease"]["images"] * eye.plan.params["test_size"]
    assert proof["probabilities_max_difference"] <= 1e-5


def test_everything_says_that_the_pictures_are_drawn(eye: Setting) -> None:
    bundle = Bundle.open(eye.version)
    run = eye.client.get_run(eye.trained.run_id)
    version = eye.client.get_model_version(eye.trained.model, "1")
    assert CAVEAT in eye.trained.series
    assert eye.trained.verdict.endswith(f"({CAVEAT})")
    assert bundle.evaluation is not None
    assert CAVEAT in bundle.evaluation.series
    assert bundle.schema["caveat"] == CAVEAT
    assert run.data.tags["baton.caveat"] == version.tags["baton.caveat"] == CAVEAT


def test_it_knows_how_the_pictures_looked_that_it_learnt_from(eye: Setting) -> None:
    """By the same numbers as a worker writes down of a picture that it is asked about."""
    reference = read(eye.version, experiment="eyes")
    assert reference.profile is not None
    assert reference.features == ("red", "green", "blue", "contrast")
    learnt, held = (1 - eye.plan.params["test_size"], eye.plan.params["test_size"])
    assert reference.profile.rows == TINY["eye_disease"]["images"] * learnt
    assert reference.profile.predicted_rows == TINY["eye_disease"]["images"] * held


def test_the_same_cameras_pictures_look_as_those_that_were_learnt_from(
    eye: Setting, servable: Servable
) -> None:
    """And another one's do not: chance alone, with 80 pictures and 60, is 0.26 on average."""
    profile = read(eye.version, experiment="eyes").profile
    assert profile is not None
    far = {camera: worst(profile, servable, camera) for camera in CAMERAS}
    assert far["standard_camera"] < 1 < far["other_camera"]


def worst(profile: ReferenceProfile, servable: Servable, camera: str) -> float:
    """The largest stability index of how 80 pictures look, as a worker logs them."""
    drawn = [draw((8, n), CLASSES[n % 4], size=32, camera=camera)[0] for n in range(80)]
    seen: dict[str, Any] = {}
    servable.predict({"instances": [{"b64": b64(encode(one))} for one in drawn]}, seen)
    indices = []
    for name, known in profile.numbers.items():
        counts = known.counts(np.asarray(seen[name]))
        indices.append(population_stability(known.shares, (counts / counts.sum()).tolist()))
    return max(indices)


def test_a_class_a_number_and_both_baselines_are_measured(eye: Setting) -> None:
    recalls = {f"recall_{name}" for name in CLASSES}
    assert {"accuracy", "f1_score", "auc", "ece", "epochs_run"} | recalls == set(
        eye.trained.metrics
    )
    assert set(eye.trained.baselines) == {"majority", "mean_colour"}
    assert eye.trained.baselines["majority"]["accuracy"] == pytest.approx(0.25)
    assert 1 <= eye.trained.metrics["epochs_run"] <= TINY["eye_disease"]["epochs"]


def test_other_people_can_load_it_with_mlflow(eye: Setting) -> None:
    """MLflow's own flavour, with a signature of one picture of the network's size."""
    text = (eye.version / "MLmodel").read_text(encoding="utf-8")
    assert "loader_module: mlflow.keras" in text
    assert (eye.version / "data" / "model.keras").is_file()
    signature = Bundle.open(eye.version).signature
    assert signature is not None
