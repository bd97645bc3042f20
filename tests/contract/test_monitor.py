"""Windows in a real MLflow: each once, whatever ends the monitor in between; alerts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from registry.errors import Unreachable
from registry.settings import Settings
from registry.verdicts import Verdict as Said
from tests.contract.mlflow_store import embedded
from tests.contract.monitored import (
    NOW,
    SINCE,
    WINDOW,
    FakeNodes,
    FakeReferences,
    FakeTruth,
    NoTruth,
    files,
    found,
    monitor,
    records,
)
from tests.fakes.prediction_log import FakePredictionLog, prediction
from training.monitoring.live import Live
from training.monitoring.monitor import Monitor, Parts
from training.monitoring.page import Page
from training.monitoring.reference import Reference
from training.monitoring.thresholds import RulesFile
from training.monitoring.window_run import WindowRun, WindowRuns, iso
from training.tracking import Tracking


class BreakingRuns(WindowRuns):
    """Loses MLflow after some writes; `after` counts down."""

    def __init__(self, tracking: Tracking, *, after: int, inside: bool = False) -> None:
        super().__init__(tracking)
        self.after = after
        self.inside = inside

    def write(self, found: WindowRun) -> bool:
        if self.after == 0 and not self.inside:
            raise Unreachable("MLflow is away")
        self.after -= 1
        return super().write(found)

    def _log(self, run: Any, found: WindowRun) -> None:
        super()._log(run, found)
        if self.after < 0 and self.inside:
            raise Unreachable("MLflow is away")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return embedded(tmp_path / "var")


def test_a_window_is_one_run_a_version_with_all_that_belongs_to_it(settings: Settings) -> None:
    log = FakePredictionLog(
        [
            *records(SINCE),
            prediction(time=SINCE + 5, status=422, version="1"),
            prediction(time=SINCE + 6, status=503, version="1"),
            *records(SINCE + 1, 10, version="2"),
        ]
    )
    assert monitor(settings, log, nodes=FakeNodes()).catch_up() == 1
    first, second = sorted(found(settings), key=lambda run: run.data.tags["model_version"])
    tags, metrics = first.data.tags, first.data.metrics
    assert first.info.status == second.info.status == "FINISHED"
    assert tags["baton.window"] == f"{iso(SINCE)}/300s"
    assert (tags["environment"], tags["data_source"]) == ("test", "sample")
    assert (tags["baton.model"], tags["model_version"]) == ("iris", "1")
    assert metrics["prediction_count"] == 120
    assert metrics["error_rate"] == pytest.approx(1 / 122)
    assert metrics["prediction_confidence"] == pytest.approx(85)
    assert metrics["class_dist_setosa"] == metrics["class_dist_virginica"] == 0.5
    assert metrics["prob_setosa"] == pytest.approx(0.55)
    assert metrics["prediction_inference_time_ms"] == metrics["latency_p99_ms"] == 2.0
    assert {"latency_p50_ms", "latency_p95_ms", "recent_avg_confidence"} <= metrics.keys()
    assert metrics["low_confidence_ratio"] == metrics["recent_low_confidence_ratio"] == 0
    assert metrics["drift_psi_petal width _cm_"] < 0.01
    assert (metrics["drift_detected"], metrics["alert"]) == (0, 0)
    assert metrics["session_predictions"] == 120
    assert (metrics["health_check_count"], metrics["model_status"]) == (1, 0)
    assert metrics["health_check_response_time_ms"] == 3.0
    assert "alert_time" not in tags
    assert second.data.metrics["prediction_count"] == 10
    root = files(settings, first)
    kept = pd.read_parquet(root / "predictions.parquet")
    assert len(kept) == 122
    assert json.loads(kept["outputs"][0])["label"] == [1]
    assert json.loads((root / "prediction_confidence.json").read_text("utf-8"))["80-90"] == 60
    assert (root / "prediction_confidence.png").read_bytes().startswith(b"\x89PNG")
    states = {v["rule"]: v["state"] for v in json.loads((root / "verdicts.json").read_text())}
    assert states["one_class"] == "fine"
    assert states["drift"] == "unknown", "120 of 200"


def test_a_restart_writes_no_second_run_and_leaves_none_out(settings: Settings) -> None:
    log = FakePredictionLog([r for i in range(4) for r in records(SINCE - i * WINDOW, 5)])
    assert monitor(settings, log, now=NOW - 3 * WINDOW).catch_up() == 1
    later = monitor(settings, log)
    assert later.catch_up() == 4, "the newest is looked at again, three are new"
    assert later.catch_up() == 0
    assert monitor(settings, log).catch_up() == 1
    windows = [run.data.tags["baton.window"] for run in found(settings)]
    assert windows == sorted({*windows})
    assert len(windows) == 4


@pytest.mark.parametrize("inside", [False, True])
def test_what_broke_off_is_gone_on_with(settings: Settings, inside: bool) -> None:
    """Between the runs of two versions, or in the middle of one; by this monitor or the next."""
    log = FakePredictionLog([*records(SINCE, 50), *records(SINCE, 40, version="2")])
    breaking = BreakingRuns(Tracking(settings), after=1, inside=inside)
    first = monitor(settings, log, runs=breaking)
    with pytest.raises(Unreachable):
        first.catch_up()
    breaking.after = 100
    assert first.catch_up() == 1
    assert monitor(settings, log).catch_up() == 1
    runs = found(settings)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.data.metrics["prediction_count"] for run in runs) == [40, 50]
    assert sorted(run.data.metrics["session_predictions"] for run in runs) == [40, 50]
    history = Tracking(settings).client.get_metric_history(runs[0].info.run_id, "prediction_count")
    assert len(history) == 1


def test_a_window_that_is_not_over_or_may_still_fill_waits(settings: Settings) -> None:
    log = FakePredictionLog(records(SINCE))
    early = monitor(settings, log, now=SINCE + WINDOW + 10)
    early.catch_up()
    assert found(settings) == []


def test_a_short_window_is_waited_for_no_longer_than_it_is(settings: Settings) -> None:
    log = FakePredictionLog(records(SINCE, 5))
    for now, written in ((SINCE + 19, 0), (SINCE + 20, 1)):
        monitor(settings, log, now=now, window=10.0).catch_up()
        assert len(found(settings)) == written


def test_an_alert_is_recorded_with_its_time_and_drift_is_marked(settings: Settings) -> None:
    shifted = records(SINCE, 250, inputs={"petal width (cm)": [0.9]})
    page = Page()
    live = Live(FakeTruth())
    monitor(settings, FakePredictionLog(shifted), page=page, live=live).catch_up()
    [run] = found(settings)
    assert run.data.metrics["drift_detected"] == 1
    assert run.data.metrics["alert"] == 3
    assert run.data.metrics["live_accuracy"] == 0
    assert run.data.tags["alert_time"] == iso(SINCE + WINDOW)
    assert "drift of petal width (cm): raised: " in run.data.tags["alert"]
    value = page.registry.get_sample_value
    assert value("baton_verdict", {"model": "iris", "rule": "drift"}) == 1
    assert value("baton_verdict", {"model": "iris", "rule": "one_class"}) == 0
    assert value("baton_verdict", {"model": "iris", "rule": "accuracy"}) == 1
    assert value("baton_live_accuracy", {"model": "iris"}) == 0
    assert value("baton_drift_score", {"model": "iris", "column": "petal width (cm)"}) > 1
    assert value("baton_window_end_timestamp_seconds") == SINCE + WINDOW


def test_rules_look_back_over_windows_and_over_a_restart(settings: Settings) -> None:
    """Sixty in each window are too few; four windows are enough, and then the hour is over."""
    begun = SINCE - 20 * WINDOW
    log = FakePredictionLog([r for i in range(4) for r in records(begun + i * WINDOW, 60)])
    page = Page()

    def state() -> float | None:
        return page.registry.get_sample_value("baton_verdict", {"model": "iris", "rule": "drift"})

    now = begun + WINDOW + 40
    monitor(settings, log, now=now, page=page).catch_up()
    assert state() == -1
    monitor(settings, log, now=now + 3 * WINDOW, page=page).catch_up()
    assert state() == 0
    monitor(settings, log, page=page).catch_up()
    assert state() == -1, "nothing was asked in the last hour"


def test_without_mlflow_the_metrics_are_there_and_nothing_is_written(settings: Settings) -> None:
    page = Page()
    parts = Parts(
        log=FakePredictionLog(records(SINCE)),
        references=FakeReferences(),
        rules=RulesFile.read(),
        page=page,
        live=Live(NoTruth()),
    )
    assert Monitor(parts, window_seconds=WINDOW, clock=lambda: NOW).catch_up() == 1
    assert page.registry.get_sample_value("baton_confidence", {"model": "iris"}) == (
        pytest.approx(0.85)
    )
    assert found(settings) == []


def test_one_model_that_mlflow_refuses_holds_up_no_other(settings: Settings) -> None:
    tracking = Tracking(settings)
    tracking.client.delete_experiment(tracking.experiment("iris-pipeline_api"))

    class Two(FakeReferences):
        def of(self, model: str, version: str) -> Reference:
            return Reference(experiment="iris-pipeline" if model == "iris" else "other")

    log = FakePredictionLog([*records(SINCE), *records(SINCE, model="zoo")])
    page = Page()
    assert monitor(settings, log, page=page, references=Two()).catch_up() == 1
    assert len(found(settings, "other_api")) == 1
    assert page.registry.get_sample_value("baton_monitor_errors_total") == 1


def test_a_log_that_is_down_is_counted_and_asked_again(settings: Settings) -> None:
    log, page, stop = FakePredictionLog(records(SINCE)), Page(), threading.Event()
    log.is_down = True
    made = monitor(settings, log, page=page)
    thread = threading.Thread(target=made.run, args=(stop,), name="monitor")
    thread.start()
    deadline = time.monotonic() + 60
    while not page.registry.get_sample_value("baton_monitor_errors_total"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    log.is_down = False
    assert made.catch_up() == 1
    assert len(found(settings)) == 1


def test_what_is_said_after_the_newest_window_is_what_follows(settings: Settings) -> None:
    """Once, however many windows came before; not of slowness, which no training ends."""
    shifted = [
        one
        for i in range(3)
        for one in records(SINCE - i * WINDOW, 250, inputs={"petal width (cm)": [0.9]})
    ]
    told: list[Sequence[Said]] = []
    first = monitor(settings, FakePredictionLog(shifted), now=NOW - 2 * WINDOW)
    first.catch_up()
    live = Live(FakeTruth())
    monitor(settings, FakePredictionLog(shifted), live=live, follow=told.append).catch_up()
    [said] = told
    raised = {one.rule: one for one in said if one.state == "raised"}
    assert raised.keys() == {"drift of petal width (cm)", "accuracy", "error_drift"}
    assert {one.about for one in said if one.rule in ("accuracy", "error_drift")} == {"accuracy"}
    drift = raised["drift of petal width (cm)"]
    assert (drift.model, drift.version, drift.about) == ("iris", 1, "drift")
    assert drift.window_end == SINCE + WINDOW
    assert "inference_time" not in {one.rule for one in said}
