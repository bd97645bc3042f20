"""A monitor over a log in memory and a real MLflow: its parts, and what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from registry.predictions import Prediction
from registry.profile import LabelProfile, NumberProfile, ReferenceProfile
from registry.settings import Settings
from tests.fakes.prediction_log import FakePredictionLog, Told, classified
from training.monitoring.live import Live
from training.monitoring.metrics import Health
from training.monitoring.monitor import Monitor, Parts
from training.monitoring.page import Page
from training.monitoring.reference import Reference
from training.monitoring.thresholds import RulesFile
from training.monitoring.window_run import WindowRuns
from training.tracking import Tracking

WINDOW = 300.0
MONDAY = 1_793_577_600.0  # 2026-11-02, 00:00 UTC
NOW = MONDAY + 7 * 86_400.0 + 36_000.0
REFERENCE = Reference(
    experiment="iris-pipeline",
    source="sample",
    profile=ReferenceProfile(
        1000,
        {"petal width (cm)": NumberProfile((0.25, 0.5, 0.75), (0.25,) * 4)},
        {},
        LabelProfile({"0": 0.5, "1": 0.5}),
        1000,
    ),
    features=("petal width (cm)",),
    labels=("setosa", "virginica"),
    metrics={"accuracy": 0.95},
)


class FakeReferences:
    """The same reference for every version."""

    def of(self, model: str, version: str) -> Reference:
        return REFERENCE


class FakeTruth:
    """Every prediction of version 1 was wrong."""

    def pairs(self, model: str, since: float, until: float) -> Sequence[Told]:
        return [Told(version="1", time=since + i, predicted="a", truth="b") for i in range(60)]


class FakeNodes:
    """Two nodes, of which one serves."""

    def look(self, model: str) -> Health:
        return Health(nodes=2, serving=1, response_ms=3.0)


class NoTruth:
    """Nothing is ever known."""

    def pairs(self, model: str, since: float, until: float) -> Sequence[Told]:
        return ()


def records(since: float, number: int = 120, **given: Any) -> list[Prediction]:
    """So many in a window, both classes in turn, features as they were learnt from."""
    return [
        classified(
            *((0.9, 0.1) if i % 2 else (0.2, 0.8)),
            **{
                "time": since + i,
                "inputs": {"petal width (cm)": [(i % 4) / 4 + 0.1]},
                **given,
            },
        )
        for i in range(number)
    ]


def monitor(
    settings: Settings,
    log: FakePredictionLog,
    *,
    runs: WindowRuns | None = None,
    now: float = NOW,
    window: float = WINDOW,
    **parts: Any,
) -> Monitor:
    made = Parts(
        **{
            "log": log,
            "references": FakeReferences(),
            "rules": RulesFile.read(),
            "page": Page(),
            "live": Live(NoTruth()),
            "runs": runs or WindowRuns(Tracking(settings)),
            **parts,
        }
    )
    return Monitor(made, window_seconds=window, clock=lambda: now)


def found(settings: Settings, experiment: str = "iris-pipeline_api") -> list[Any]:
    """All runs of the experiment, oldest window first."""
    tracking = Tracking(settings)
    there = tracking.client.get_experiment_by_name(experiment)
    runs = tracking.client.search_runs([there.experiment_id]) if there else []
    return sorted(runs, key=lambda run: run.data.tags.get("baton.window", ""))


def files(settings: Settings, run: Any) -> Path:
    return Path(
        Tracking(settings).mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, tracking_uri=settings.tracking_uri
        )
    )


BEGUN = NOW - WINDOW - 60  # its window is over, and settled
SINCE = BEGUN // WINDOW * WINDOW
