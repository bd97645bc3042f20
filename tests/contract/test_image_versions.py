"""Versions of kind image: golden examples, what is invalid, and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from registry.bundle import Manifest
from registry.errors import BundleInvalid, TrialFailed
from serving.kinds import Limits
from serving.servable import Servable
from tests.servingfakes.pictures import COLOURS, FORMATS, RED, b64, image_folder, picture

LIMITS = Limits(max_rows=100, max_horizon=100)
PNG = picture(RED)
MANY = [picture(colour, form=form) for colour, form in zip(COLOURS.values(), FORMATS, strict=True)]


def load(root: Path, limits: Limits = LIMITS) -> Servable:
    return Servable.load(root, Manifest.of(root), allowed=("onnx",), limits=limits)


def golden(label: str) -> dict[str, Any]:
    example = {"request": {"image": b64(PNG)}, "response": {"predictions": [{"label": label}]}}
    return {"examples": [example], "rtol": 1e-5, "atol": 1e-5}


def test_golden_examples_hold_a_version_to_its_answers(tmp_path: Path) -> None:
    good = load(image_folder(tmp_path / "good", golden=golden("red")))
    assert good.warm() == 0
    good.repeat(good.example())
    with pytest.raises(TrialFailed, match=r"predictions\[0\].label: expected 'blue', got 'red'"):
        load(image_folder(tmp_path / "bad", golden=golden("blue"))).warm()


def test_a_version_without_examples_is_tried_with_a_blank_picture(tmp_path: Path) -> None:
    servable = load(image_folder(tmp_path / "v"))
    assert servable.warm() == 0
    [told] = servable.predict(servable.example())["predictions"]
    assert told["confidence"] == pytest.approx(1 / 3)


def test_threads_get_the_answers_they_would_get_alone(tmp_path: Path) -> None:
    servable = load(image_folder(tmp_path / "v"))
    asked = [{"instances": MANY[n:] + MANY[:n]} for n in range(3)] * 40
    alone = [servable.predict(body) for body in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(servable.predict, asked)) == alone


def test_a_version_without_labels_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="labels: expected a list of distinct names"):
        load(image_folder(tmp_path / "v", schema={}))


def test_a_model_that_sees_more_than_a_request_may_bring_is_invalid(tmp_path: Path) -> None:
    limits = Limits(max_rows=1, max_horizon=1, max_pixels=63)
    with pytest.raises(BundleInvalid, match="8 x 8 pixels.*BATON_MAX_PIXELS"):
        load(image_folder(tmp_path / "v"), limits)
