"""What the prophet engine promises besides parity: repeatable bands, and files it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import BundleInvalid, SignatureMismatch
from serving.engines.prophet import ProphetEngine
from tests.contract.prophet_cases import CASES, engine_of, fit

DATES = {"ds": np.arange("2021-11-20", "2021-12-20", dtype="datetime64[D]").astype("M8[ns]")}


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """The decoded file of one small model, to be spoiled."""
    saved: dict[str, Any] = json.loads(fit(CASES["linear"]))
    return saved


def test_the_same_request_gets_the_same_band_from_any_thread(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    """The band is a function of model, seed and dates."""
    engine = engine_of(plain, tmp_path / "model.pr")
    first = engine.run(DATES)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(engine.run, [DATES] * 40):
            np.testing.assert_array_equal(answer["yhat_lower"], first["yhat_lower"])
    other = engine_of(plain, tmp_path / "model.pr", seed=2).run(DATES)
    assert not np.array_equal(other["yhat_lower"], first["yhat_lower"])


def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    """Asking for a week or a month gives the same first week, band and all."""
    engine = engine_of(plain, tmp_path / "model.pr")
    week, month = engine.run({"ds": DATES["ds"][:7]}), engine.run(DATES)
    np.testing.assert_allclose(week["yhat_upper"], month["yhat_upper"][:7], rtol=1e-12)


def test_what_is_kept_of_a_band_is_what_would_be_simulated_again(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    """Dates in the history, after it and across, every day and every third, few after many."""
    kept = engine_of(plain, tmp_path / "model.pr")
    last = kept.calendar.last
    for start in (5, -40, -3, 1, 200):
        for step, count in ((1, 30), (1, 4), (3, 8), (1, 40), (3, 2), (1, 1)):
            dates = last + np.arange(count) * np.timedelta64(step, "D") + np.timedelta64(start, "D")
            fresh = engine_of(plain, tmp_path / "model.pr")
            asked = {"ds": dates.astype("M8[ns]")}
            again, first = kept.run(asked), fresh.run(asked)
            for name in first:
                np.testing.assert_array_equal(again[name], first[name])


def test_a_band_is_simulated_once_for_dates_so_far_apart_and_not_for_ever_more(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    engine = engine_of(plain, tmp_path / "model.pr")
    for start in range(20):
        engine.run({"ds": DATES["ds"] + np.timedelta64(start, "D")})
    assert len(engine._kept) == 1
    for hours in range(1, 300):
        engine.run({"ds": DATES["ds"][0] + np.arange(3) * np.timedelta64(hours, "h")})
    assert len(engine._kept) <= 64


def test_where_a_season_multiplies_the_trend_every_band_is_simulated(tmp_path: Path) -> None:
    engine = engine_of(json.loads(fit(CASES["linear, multiplied"])), tmp_path / "model.pr")
    engine.run(DATES)
    assert not engine._kept


def test_without_uncertainty_there_is_no_band(plain: dict[str, Any], tmp_path: Path) -> None:
    """Neither for a model fitted without samples, nor when none are wanted."""
    path = tmp_path / "model.pr"
    assert set(engine_of(plain | {"uncertainty_samples": 0}, path).run(DATES)) == {"yhat", "trend"}
    assert set(engine_of(plain, path, samples=0).run(DATES)) == {"yhat", "trend"}
    assert set(engine_of(plain, path).run(DATES, band=False)) == {"yhat", "trend"}


def test_no_trend_is_uncertain_within_the_history(plain: dict[str, Any], tmp_path: Path) -> None:
    """Without noise the band closes on the last training date and opens after it."""
    params = plain["params"] | {"sigma_obs": [[0.0]]}
    quiet = plain | {"params": params, "interval_width": 0.999}
    dates = np.arange("2021-11-17", "2021-12-17", dtype="datetime64[D]").astype("M8[ns]")
    answer = engine_of(quiet, tmp_path / "model.pr", samples=4000).run({"ds": dates})
    widths = answer["yhat_upper"] - answer["yhat_lower"]
    np.testing.assert_allclose(widths[:3], 0, atol=1e-9)
    assert (widths[3:] > 0).all()


def test_singly_and_doubly_encoded_files_are_the_same(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    """MLflow writes JSON in a JSON string; Prophet alone writes one layer."""
    single = engine_of(plain, tmp_path / "a").run(DATES)
    double = engine_of(json.dumps(plain), tmp_path / "b").run(DATES)
    np.testing.assert_array_equal(single["yhat_upper"], double["yhat_upper"])


def test_a_file_of_an_older_prophet_loads(plain: dict[str, Any], tmp_path: Path) -> None:
    """Before 1.1.5 there was no scaling, no least value and no mode of holidays."""
    newer = {"scaling", "y_min", "holidays_mode"}
    old = {name: value for name, value in plain.items() if name not in newer}
    np.testing.assert_array_equal(
        engine_of(old, tmp_path / "a").run(DATES)["yhat"],
        engine_of(plain, tmp_path / "b").run(DATES)["yhat"],
    )


def test_the_calendar_goes_on_after_the_training(plain: dict[str, Any], tmp_path: Path) -> None:
    """The last training date is 2021-11-19, the step a day."""
    engine = engine_of(plain, tmp_path / "model.pr")
    calendar = engine.calendar
    assert calendar.after(1)[0] == np.datetime64("2021-11-20")
    assert str(calendar.step) == "D"
    learnt = json.loads(plain["history"])["data"]
    assert (engine.last_value, engine.data_points) == (learnt[-1]["y"], len(learnt))


PARAMS: dict[str, Any] = {
    "nan": {"k": [[float("nan")]]},
    "ragged": {"delta": [[1.0, 2.0], [3.0]]},
    "short": {"delta": [[1.0, 2.0]]},
    "words": {"m": [["much"]]},
    "null": {"sigma_obs": None},
    "weights": {"beta": [[0.1, 0.2]]},
    "rows": {"m": [[0.1], [0.2]]},
}


@pytest.mark.parametrize("spoiled", PARAMS)
def test_spoiled_parameters_are_refused(
    spoiled: str, plain: dict[str, Any], tmp_path: Path
) -> None:
    """The refusal names the file and the parameter's group."""
    bad = plain | {"params": plain["params"] | PARAMS[spoiled]}
    with pytest.raises(BundleInvalid, match=r"model\.pr: .*params"):
        engine_of(bad, tmp_path / "model.pr")


@pytest.mark.parametrize(
    "name",
    ["params", "history", "history_dates", "start", "t_scale", "seasonalities", "y_scale"],
)
def test_a_missing_field_is_named(name: str, plain: dict[str, Any], tmp_path: Path) -> None:
    """Missing and null are both refused, with the file's name."""
    missing = {key: value for key, value in plain.items() if key != name}
    with pytest.raises(BundleInvalid, match=rf"model\.pr: {name} is missing"):
        engine_of(missing, tmp_path / "model.pr")


@pytest.mark.parametrize(
    "change",
    [
        {"growth": "wild"},
        {"y_scale": 0},
        {"t_scale": -1.0},
        {"start": None},
        {"history_dates": None},
        {"history_dates": "{"},
        {"history": 3},
        {"seasonalities": None},
        {
            "seasonalities": [
                ["w"],
                {"w": {"period": 7, "fourier_order": 10**12, "mode": "additive"}},
            ]
        },
        {"country_holidays": "country_holidays"},
        {"changepoints_t": [[0.1]]},
        {"interval_width": "wide"},
    ],
    ids=str,
)
def test_a_field_that_makes_no_sense_is_refused(
    change: dict[str, Any], plain: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever is wrong, it is BundleInvalid with the file's name and no other error."""
    with pytest.raises(BundleInvalid, match=r"model\.pr"):
        engine_of(plain | change, tmp_path / "model.pr")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'"x"', b"[" * 200_000, b"{}"])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    """Not JSON, not an object, too deep, empty."""
    path = tmp_path / "model.pr"
    path.write_bytes(content)
    with pytest.raises(BundleInvalid, match=r"model\.pr"):
        ProphetEngine.load(path, seed=1)
    with pytest.raises(BundleInvalid, match="nothing"):
        ProphetEngine.load(tmp_path / "nothing", seed=1)


def test_a_missing_column_and_a_low_cap_are_the_clients_mistake(tmp_path: Path) -> None:
    """Logistic growth needs a cap above its floor."""
    engine = engine_of(json.loads(fit(CASES["logistic, floor"])), tmp_path / "model.pr")
    assert dict(engine.required) == {"cap": float, "floor": float}
    with pytest.raises(SignatureMismatch, match="cap"):
        engine.run(DATES)
    level = np.full(30, 3.0)
    with pytest.raises(SignatureMismatch, match="more than the floor"):
        engine.run(DATES | {"cap": level, "floor": level})


def test_the_engine_imports_neither_prophet_nor_pandas() -> None:
    """Workers stay small: numpy and orjson are enough, `holidays` only for countries."""
    code = (
        "import sys, serving.engines.prophet, serving.kinds.forecast;"
        "print({'prophet','pandas','mlflow','sklearn','holidays'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
