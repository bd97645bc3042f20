"""What a version is held against: read from its bundle, whichever it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.errors import BundleInvalid
from registry.profile import LabelProfile, NumberProfile, ReferenceProfile
from tests.fakes import write_bundle
from training.monitoring.reference import read

PROFILE = ReferenceProfile(
    150,
    {"x": NumberProfile((0.5,), (0.5, 0.5))},
    {"target": LabelProfile({"0": 1.0})},
    predicted=LabelProfile({"0": 0.25, "1": 0.75}),
    predicted_rows=40,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "version")
    return tmp_path / "version"


def put(root: Path, name: str, value: object) -> None:
    (root / "baton" / name).write_text(json.dumps(value), encoding="utf-8")


def test_features_are_what_requests_carry_and_classes_have_names(root: Path) -> None:
    put(root, "profile.json", PROFILE.to_json())
    put(root, "model_schema.json", {"inputs": [{"name": "x"}], "labels": ["setosa", "virginica"]})
    found = read(root, experiment="iris", source="csv")
    assert (found.features, found.rows, found.source) == (("x",), 40, "csv")
    assert found.profile == PROFILE
    assert isinstance(PROFILE.predicted, LabelProfile)
    assert found.classes(PROFILE.predicted) == {"setosa": 0.25, "virginica": 0.75}
    assert found.class_name("1") == "virginica"
    assert found.class_name("7") == "7"
    assert found.missing == ""


@pytest.mark.parametrize(("kind", "features"), [("image", ("red", "contrast")), ("tabular", ())])
def test_requests_of_pictures_carry_how_they_look(
    tmp_path: Path, kind: str, features: tuple[str, ...]
) -> None:
    write_bundle(tmp_path / "pictures", kind=kind)
    learnt = NumberProfile((0.5,), (0.5, 0.5))
    numbers = {"red": learnt, "width": learnt, "contrast": learnt}
    put(tmp_path / "pictures", "profile.json", ReferenceProfile(9, numbers, {}).to_json())
    put(tmp_path / "pictures", "model_schema.json", {"inputs": [{"name": "image"}]})
    assert read(tmp_path / "pictures", experiment="eyes").features == features


def test_a_bundle_from_before_has_no_profile_of_its_answers(root: Path) -> None:
    old = PROFILE.to_json()
    del old["predicted"], old["predicted_rows"]
    put(root, "profile.json", old)
    found = read(root, experiment="iris")
    assert found.profile is not None
    assert (found.profile.predicted, found.rows) == (None, 30)


def test_a_version_from_elsewhere_says_what_it_has_not(root: Path) -> None:
    (root / "baton" / "profile.json").unlink(missing_ok=True)
    found = read(root, experiment="iris")
    assert (found.profile, found.features) == (None, ())
    assert found.missing == "its bundle has no profile.json"


def test_a_profile_that_is_none_is_refused(root: Path) -> None:
    put(root, "profile.json", {"rows": 3})
    with pytest.raises(BundleInvalid, match="profile.json: does not have its form"):
        read(root, experiment="iris")
