"""`python -m training runs`: found by what MLflow knows of them, dates written as dates."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import pytest

from registry.errors import UnknownName, UsageError
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.typed import typed
from training.runs import dated, search
from training.tracking import Tracking

HOUR_MS = 3_600_000
NOVEMBER_MS = int(datetime.datetime(2026, 11, 1).astimezone().timestamp() * 1000)
DAY_MS = int(datetime.datetime(2026, 11, 2).astimezone().timestamp() * 1000) - NOVEMBER_MS


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Four runs: three of Baton's, the last of which failed, and one of a script's."""
    made = embedded(tmp_path_factory.mktemp("runs") / "var")
    tracking = Tracking(made)
    prices, flowers = tracking.experiment("prices"), tracking.experiment("flowers")
    ours = {"baton.workload": "petr4", "baton.model": "m", "baton.primary": "mae"}
    for hours, experiment, mae, tags in (
        (-30, prices, 0.3, {**ours, "baton.series": "USD/BRL", "model_version": "1"}),
        (5, prices, 0.1, {**ours, "baton.series": "USD/BRL", "model_version": "2"}),
        (30, prices, None, {**ours, "ticker": "usd_brl", "baton.failed_step": "fit"}),
        (60, flowers, 0.2, {}),
    ):
        begun = NOVEMBER_MS + hours * HOUR_MS
        run = tracking.client.create_run(experiment, begun, tags, f"run at {hours}")
        tracking.client.log_param(run.info.run_id, "depth", "3" if hours == 60 else "4")
        if mae is not None:
            tracking.client.log_metric(run.info.run_id, "mae", mae)
            tracking.client.log_metric(run.info.run_id, "aaa", 1.0)
        ended = "FAILED" if mae is None else "FINISHED"
        tracking.client.set_terminated(run.info.run_id, ended, begun + HOUR_MS)
    return made


@pytest.fixture
def names(settings: Settings) -> Any:
    """The hours of the runs that are found, newest first."""

    def found(**asked: Any) -> list[int]:
        return [int(run.name.split()[-1]) for run in search(Tracking(settings), **asked)]

    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", [60, 30, 5, -30]),
        ("tags.baton.series = 'USD/BRL'", [5, -30]),
        ("tags.`baton.failed_step` = 'fit'", [30]),
        ("metrics.mae < 0.25", [60, 5]),
        ("metrics.mae < 0.25 and params.depth = '4'", [5]),
        ("start_time > '2026-11-01'", [60, 30, 5]),
        ("start_time > '2026-11-01T06:00' and start_time<'2026-11-03'", [30]),
        ('attributes.start_time <= "2026-11-01"', [-30]),
        ("start_time = '2026-11-01'", [5]),
        ("end_time >= '2026-11-03 12:30'", [60]),
        (f"start_time > {NOVEMBER_MS}", [60, 30, 5]),
        (f"start_time > '{NOVEMBER_MS}'", None),
        ("status = 'FAILED'", [30]),
    ],
)
def test_a_filter_takes_tags_metrics_parameters_and_dates(
    text: str, wanted: list[int] | None, names: Any
) -> None:
    """What MLflow itself would refuse it still refuses."""
    if wanted is None:
        with pytest.raises(UsageError):
            names(text=text)
    else:
        assert names(text=text) == wanted


def test_only_times_outside_of_quotes_are_translated() -> None:
    """A tag may hold what looks like a comparison, or be called like a time."""
    for kept in (
        "tags.note = \"start_time > '2026-11-01'\"",
        "tags.start_time_of_day = '2026-11-01'",
        "tags.start_time = '2026-11-01'",
        "params.`start_time` = '2026-11-01'",
    ):
        assert dated(kept) == kept
    assert dated("start_time>'2026-11-01'") == f"start_time > {NOVEMBER_MS}"
    whole = f"run.end_time >= {NOVEMBER_MS} and run.end_time < {NOVEMBER_MS + DAY_MS}"
    assert dated("run.end_time = '2026-11-01'") == whole
    assert dated("start_time > '2026-11-01T00:00:00+00:00'") == "start_time > 1793491200000"


def test_a_date_that_is_none_is_refused_with_one_that_is() -> None:
    with pytest.raises(UsageError, match=r"'yesterday': expected a date as 2026-11-01, or a time"):
        dated("start_time > 'yesterday'")


def test_one_experiment_and_no_more_than_asked_for(names: Any) -> None:
    assert names(experiment="prices") == [30, 5, -30]
    assert names(experiment="prices", limit=2) == [30, 5]
    with pytest.raises(UnknownName, match="unknown experiment 'prizes'; .*flowers, prices"):
        names(experiment="prizes")


def test_the_command_lists_days_inclusively(settings: Settings) -> None:
    """`--since` and `--until` are both days that count."""
    for options, wanted in (
        (("--since", "2026-11-01", "--until", "2026-11-02"), ["run at 30", "run at 5"]),
        (("--until", "2026-10-31"), ["run at -30"]),
        (("--since", "2026-11-01", "--filter", "metrics.mae < 0.15"), ["run at 5"]),
    ):
        done = typed(settings, "runs", "--json", *options)
        assert done.exit_code == 0, done.output
        assert [run["name"] for run in json.loads(done.stdout)["runs"]] == wanted


def test_the_table_shows_what_a_run_came_to(settings: Settings) -> None:
    """The metric that decides, or a script's first ones; the version; when, here."""
    done = typed(settings, "runs")
    assert done.exit_code == 0, done.output
    lines = {
        name: next(x for x in done.stdout.splitlines() if name in x)
        for name in ("run at 5 ", "run at 30 ", "run at 60 ")
    }
    assert all(word in lines["run at 5 "] for word in ("m v2", "mae 0.1", "USD/BRL", "petr4"))
    assert "2026-11-01 05:00" in lines["run at 5 "]
    assert re.search(r" [0-9a-f]{32} ", lines["run at 5 "]), "half an id cannot be copied"
    assert "aaa" not in lines["run at 5 "]
    assert all(word in lines["run at 30 "] for word in ("FAILED", "usd_brl"))
    assert "aaa 1, mae 0.2" in lines["run at 60 "]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--filter", "metrics.mae"), "as in: tags.ticker = "),
        (("--filter", "metrics.mae < 'low'"), "as in: tags.ticker = "),
        (("--filter", "metrics.mae < 1 or metrics.mae > 2"), "as in: tags.ticker = "),
        (("--filter", "no_such_thing = 1"), "as in: tags.ticker = "),
        (("--since", "soon"), "expected a date as 2026-11-01"),
        (("nothing",), "there is: "),
    ],
)
def test_what_cannot_be_asked_for_is_exit_2_with_what_can(
    arguments: tuple[str, ...], said: str, settings: Settings
) -> None:
    done = typed(settings, "runs", "--json", *arguments)
    assert done.exit_code == 2, done.output
    assert said in json.loads(done.stdout)["message"]
