"""The commands `monitor` and `report` over a real log, the report of a week, and the page."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from registry.errors import SettingsError
from registry.predictions import Position, Prediction
from registry.settings import Settings
from registry.sql_predictions import open_sink
from tests.contract.mlflow_store import embedded
from tests.contract.monitored import MONDAY, SINCE, FakeReferences, files, found, monitor, records
from tests.contract.typed import typed
from tests.fakes.prediction_log import FakePredictionLog
from training.monitoring.page import Page
from training.monitoring.thresholds import RulesFile
from training.monitoring.weekly import Weekly
from training.monitoring.window_run import WindowRuns
from training.tracking import Tracking


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return embedded(tmp_path / "var")


def test_a_week_is_reported_once(settings: Settings) -> None:
    log = FakePredictionLog(
        [*records(MONDAY + 100, 50), *records(MONDAY + 90_000, 50, version="2"), *records(SINCE, 3)]
    )
    runs = WindowRuns(Tracking(settings))

    def weekly() -> Weekly:
        return Weekly(log, FakeReferences(), RulesFile.read(), runs)

    monitor(settings, log, runs=runs, weekly=weekly()).catch_up()
    monitor(settings, log, runs=runs, weekly=weekly()).catch_up()
    reports = [run for run in found(settings) if "baton.report" in run.data.tags]
    assert [run.data.tags["baton.report"] for run in reports] == [
        "2026-11-02T00:00:00Z/2026-11-09T00:00:00Z"
    ]
    root = files(settings, reports[0])
    page = (root / "report.html").read_text("utf-8")
    assert all(word in page for word in ("Version 1", "Version 2", "one_class", "data:image/png"))
    assert (root / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_answers_and_says_what_it_cannot_listen_at() -> None:
    page = Page()
    server, thread = page.serve("127.0.0.1:0")
    plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with plain.open(f"http://127.0.0.1:{server.server_port}/metrics", timeout=30) as reply:
        assert b"baton_monitor_errors_total 0.0" in reply.read()
    with pytest.raises(SettingsError, match="BATON_MONITOR_BIND: cannot listen at"):
        page.serve(f"127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join(5)
    with pytest.raises(SettingsError, match="expected host:port, got 'nowhere'"):
        page.serve("nowhere")


def logged(settings: Settings, records: Sequence[Prediction]) -> None:
    """Put records into the log that commands open."""
    sink = open_sink(settings)
    assert sink.append("spool", "lane", records, Position(1, 1)) == len(records)
    sink.close()


def test_the_command_writes_the_windows_that_are_over(settings: Settings) -> None:
    """Of a model that the registry does not know."""
    length = 60.0
    since = (time.time() - 30) // length * length - length
    # The window after it too: it may be over by the time the command looks at the clock.
    logged(settings, [*records(since, 20), *records(since + length, 20)])
    done = typed(settings, "monitor", "--once", "--window", "60")
    assert (done.exit_code, done.stdout) == (0, "1 windows read\n"), done.output
    [run] = found(settings, "iris_api")
    assert run.data.metrics["prediction_count"] == 20
    assert "class_dist_0" in run.data.metrics


def test_the_report_command_writes_a_run_or_a_folder(settings: Settings, tmp_path: Path) -> None:
    logged(settings, records(time.time() - 1000, 20))
    done = typed(settings, "report", "iris", "--json")
    assert done.exit_code == 0, done.output
    [run] = found(settings, "iris_api")
    assert json.loads(done.stdout)["run_id"] == run.info.run_id
    done = typed(settings, "report", "iris", "--days", "1", "--output", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "Version 1" in (tmp_path / "out" / "report.html").read_text("utf-8")
    done = typed(settings, "report", "roses", "--json")
    assert done.exit_code == 2
    assert "unknown model with predictions in 7 days 'roses'; there is: iris" in done.stdout
