"""What a version is held against, where it was really trained and registered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.client import MlflowRegistry
from registry.profile import LabelProfile
from tests.contract.trainings import Setting
from training.monitoring.reference import RegistryReferences
from training.tracking import Tracking
from training.workloads import iris


@pytest.fixture
def iris_trained(trained_once: Callable[[str], Setting]) -> Setting:
    return trained_once("iris")


@pytest.fixture
def references(iris_trained: Setting) -> RegistryReferences:
    settings = iris_trained.settings
    client = MlflowRegistry(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)
    return RegistryReferences(client, Tracking(settings))


def test_a_version_brings_its_features_classes_and_metrics(
    references: RegistryReferences, iris_trained: Setting
) -> None:
    found = references.of("iris", str(iris_trained.trained.version))
    assert (found.experiment, found.source, found.missing) == ("iris-pipeline", "sample", "")
    assert (found.features, found.labels) == (iris.FEATURES, iris.CLASSES)
    assert found.profile is not None
    assert isinstance(found.profile.predicted, LabelProfile)
    assert found.classes(found.profile.predicted).keys() == {*iris.CLASSES}
    assert (found.profile.rows, found.rows) == (120, 30)
    assert found.metrics["accuracy"] > 0.8


@pytest.mark.parametrize("version", ["99", "none"])
def test_a_version_that_is_not_there_has_nothing_and_says_so(
    references: RegistryReferences, version: str
) -> None:
    found = references.of("iris", version)
    assert (found.experiment, found.profile) == ("iris", None)
    assert found.missing
