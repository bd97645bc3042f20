"""The commands, over a version that was really trained: what came true is fetched and judged."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result

from registry.predictions import Position
from registry.sql_predictions import open_sink
from tests.contract.trainings import Setting
from tests.fakes.prediction_log import record
from training.__main__ import main
from training.data.sample import Sample
from training.workloads import get

NEVER = "2999-01-01"
HIGHER = 0.25


@dataclass(frozen=True)
class Forecast:
    """A version with three predictions in the log: two days that came true, one that has not."""

    setting: Setting
    days: tuple[str, str]

    def run(self, *words: str) -> Result:
        unset = dict.fromkeys(name for name in os.environ if name.startswith(("BATON_", "MLFLOW_")))
        given = {"BATON_HOME": str(self.setting.settings.home)}
        done = CliRunner(env=unset | given).invoke(main, [*words])
        assert done.exit_code == 0, done.output
        return done


@pytest.fixture(scope="module")
def forecast(trained_once: Callable[[str], Setting]) -> Forecast:
    setting = trained_once("petr4")
    frame = Sample().load("usd_brl", get("petr4").about.fields).frame.tail(2)
    days = tuple(day.date().isoformat() for day in frame["ds"])
    yhat = [value + HIGHER for value in frame["y"]]
    made = record(
        "p1",
        model=setting.trained.model,
        version=str(setting.trained.version),
        time=time.time() - 60,
        rows=3,
        outputs={
            "ds": [*days, NEVER],
            "yhat": [*yhat, 1.0],
            "yhat_lower": [yhat[0] - 1, yhat[1] - HIGHER / 2, 0.0],
            "yhat_upper": [yhat[0] + 1, yhat[1] + 1, 2.0],
        },
    )
    with closing(open_sink(setting.settings)) as sink:
        assert sink.append("test", "lane", [made], Position(1, 1)) == 1
    return Forecast(setting, (days[0], days[1]))


def test_what_came_true_is_fetched_once_and_judged(forecast: Forecast) -> None:
    model = forecast.setting.trained.model
    assert "nothing came true yet" in forecast.run("accuracy", model).output
    fetched = [json.loads(forecast.run("actuals", model, "--json").output) for _ in range(2)]
    [[first], [again]] = [one["series"] for one in fetched]
    assert (first["series"], first["source"]) == ("USD/BRL", "sample")
    assert (first["accepted"], first["open"], first["failed"]) == (2, 1, "")
    assert (again["accepted"], again["duplicate"]) == (0, 2)
    found: Any = json.loads(forecast.run("accuracy", model, "--json").output)
    assert [(one["horizon"], one["n"], one["enough"]) for one in found["scores"]] == [
        (None, 2, False),
        (1, 1, False),
        (2, 1, False),
    ]
    measures = found["scores"][0]["measures"]
    evaluation = json.loads(
        (forecast.setting.version / "baton" / "evaluation.json").read_text(encoding="utf-8")
    )
    assert measures["mae"] == pytest.approx(HIGHER)
    assert measures["coverage"] == 0.5
    assert measures["mase"] == pytest.approx(HIGHER / evaluation["baselines"]["naive"]["mae"])
    assert {one["series"] for one in found["scores"]} == {"USD/BRL"}


def test_people_see_tables(forecast: Forecast) -> None:
    model = forecast.setting.trained.model
    assert "USD/BRL" in forecast.run("actuals").output
    said = forecast.run("accuracy", model).output
    assert "too few: under 30" in said
    assert "coverage" in said
    assert "nothing came true" in forecast.run("accuracy", "nobody").output
    assert "no forecast" in forecast.run("actuals", "nobody").output
