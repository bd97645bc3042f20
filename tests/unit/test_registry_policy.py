"""The gates file: what it says, and what it refuses to mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from registry.errors import SettingsError
from registry.policy import (
    Adoption,
    GatesFile,
    MetricRule,
    Packaging,
    Policy,
    Promote,
    Retrain,
    Rollback,
    Symptom,
)
from registry.settings import PACKAGED_GATES

RULE = '[[models.iris.gates]]\ngate = "bound"\nmetric = "accuracy"\n'


def read(tmp_path: Path, text: str) -> GatesFile:
    """A gates file with this text."""
    path = tmp_path / "gates.toml"
    path.write_text(text)
    return GatesFile.read(path)


def test_a_policy_is_read_whole(tmp_path: Path) -> None:
    text = """
        [models.iris]
        adoption = "trust"
        package = "auto"
        sources = ["csv", "yahoo"]
        min_rows = 10
        max_age_days = 7
        allow_series_change = true
        [[models.iris.gates]]
        gate = "not_worse"
        metric = "mae"
        max_ratio = 1
        report_only = true
    """
    policy = read(tmp_path, text).of("iris")
    assert policy == Policy(
        adoption=Adoption.TRUST,
        package=Packaging.AUTO,
        sources=("csv", "yahoo"),
        min_rows=10,
        max_age_days=7,
        allow_series_change=True,
        rules=(MetricRule(gate="not_worse", metric="mae", max_ratio=1, report_only=True),),
    )


def test_what_follows_is_read_whole(tmp_path: Path) -> None:
    text = """
        [models.iris]
        rollback = "alert"
        watch = ["errors", "confidence"]
        watch_minutes = 30
        retrain = "on_schedule"
        every_hours = 12
        cool_down_hours = 1.5
        most_a_day = 3
        promote = "auto"
        train = { workload = "iris", source = "csv", C = 2.0 }
    """
    assert read(tmp_path, text).of("iris") == Policy(
        rollback=Rollback.ALERT,
        watch=(Symptom.ERRORS, Symptom.CONFIDENCE),
        watch_minutes=30,
        retrain=Retrain.ON_SCHEDULE,
        every_hours=12,
        cool_down_hours=1.5,
        most_a_day=3,
        promote=Promote.AUTO,
        train={"workload": "iris", "source": "csv", "C": 2.0},
    )


def test_by_itself_a_model_is_watched_and_left_and_nobody_trains(tmp_path: Path) -> None:
    policy = read(tmp_path, "").of("iris")
    assert (policy.rollback, policy.watch_minutes) == (Rollback.AUTO, 15)
    assert policy.watch == (Symptom.ERRORS,)
    assert (policy.retrain, policy.promote) == (Retrain.MANUAL, Promote.MANUAL)


def test_a_pattern_is_for_models_without_an_entry_of_their_own(tmp_path: Path) -> None:
    entries = {'"stock-*"': 1, "stock-MSFT": 2, '"stock-I*"': 3}
    text = "".join(f"[models.{name}]\nmin_rows = {rows}\n" for name, rows in entries.items())
    file = read(tmp_path, text)
    found = {name: file.of(name).min_rows for name in ("stock-MSFT", "stock-IBM", "stocks", "iris")}
    assert found == {"stock-MSFT": 2, "stock-IBM": 1, "stocks": 0, "iris": 0}


def test_a_model_without_an_entry_is_judged_by_the_gates_without_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "").of("iris") == Policy()


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    text = "# changed\n"
    assert read(tmp_path, text).digest == hashlib.sha256(text.encode()).hexdigest()


def test_the_packaged_file_is_understood_and_does_not_take_samples() -> None:
    policies = GatesFile.read(PACKAGED_GATES).policies
    assert {"ProphetModel", "iris"} <= policies.keys()
    for policy in policies.values():
        assert policy.sources
        assert "sample" not in policy.sources


@pytest.mark.parametrize(
    "text",
    [
        "models = 3",
        "[model.iris]\nmin_rows = 1",
        "[models]\niris = 3",
        "[models.iris]\nmin_row = 1",
        '[models.iris]\nmin_rows = "many"',
        "[models.iris]\nmin_rows = true",
        '[models.iris]\nsources = "csv"',
        "[models.iris]\nsources = [1]",
        '[models.iris]\nmax_age_days = "7"',
        '[models.iris]\nallow_series_change = "no"',
        '[models.iris]\nadoption = "maybe"',
        '[models.iris]\npackage = "yes"',
        "[models.iris]\npackage = true",
        '[models.iris]\nrollback = "never"',
        '[models.iris]\nwatch = "errors"',
        '[models.iris]\nwatch = ["drift"]',
        "[models.iris]\nwatch = [1]",
        '[models.iris]\nretrain = "on_drift"',
        '[models.iris]\nretrain = "often"\ntrain = {workload = "iris"}',
        "[models.iris]\ntrain = 3",
        "[models.iris]\ntrain = {seed = 3}",
        '[models.iris]\ntrain = {workload = "iris", model = "lilies"}',
        '[models.iris]\npromote = "yes"',
        "[models.iris]\nevery_hours = 0",
        "[models.iris]\nmost_a_day = 1.5",
        "[models.iris]\ngates = 3",
        "[models.iris.gates]\ngate = 'bound'",
        RULE,
        RULE + 'min = "0.9"',
        RULE + "min = nan",
        RULE + "min = true",
        RULE + 'min = 0.9\nreport_only = "yes"',
        RULE + "min = 0.9\nmax_ratio = 1",
        RULE + "min = 0.9\nbaseline = 'naive'",
        RULE + "minimum = 0.9",
        RULE.replace("bound", "bounds") + "min = 0.9",
        RULE.replace("bound", "not_worse") + "min = 0.9",
        RULE.replace("bound", "beats_baseline") + "min_ratio = 1",
        RULE.replace('"accuracy"', "3") + "min = 0.9",
        '[[models.iris.gates]]\ngate = "bound"\nmin = 0.9',
    ],
)
def test_what_is_not_understood_is_refused_instead_of_ignored(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"BATON_GATES.*gates\.toml"):
        read(tmp_path, text)


@pytest.mark.parametrize("content", [None, b"[models", b"\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "gates.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"BATON_GATES.*gates\.toml"):
        GatesFile.read(path)
