"""The prophet engine answers what `Prophet.predict` answers, for every way to build a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prophet.serialize import model_from_json

from serving.engines.prophet import ProphetEngine
from tests.contract.prophet_cases import AHEAD, CASES, ROWS, Case, Fitted, engine_of, fit, history

SEEDS = range(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module keeps its model files."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=CASES)
def fitted(request: pytest.FixtureRequest, folder: Path) -> Fitted:
    """Each case, fitted once, saved as MLflow saves it."""
    case = CASES[request.param]
    saved = fit(case)
    path = folder / "model.pr"
    path.write_text(json.dumps(saved))
    return Fitted(
        prophet=model_from_json(saved),
        engine=ProphetEngine.load(path, seed=1),
        frame=history(ROWS + AHEAD, freq=case.freq).drop(columns="y"),
    )


def width(frame: pd.DataFrame | dict[str, np.ndarray]) -> float:
    """The mean width of a band."""
    return float(np.mean(np.asarray(frame["yhat_upper"]) - np.asarray(frame["yhat_lower"])))


def test_the_point_forecast_and_the_trend_are_prophets(fitted: Fitted) -> None:
    """Over the history and beyond it, to 1e-9 of the value."""
    expected = fitted.prophet.predict(fitted.frame)
    answer = fitted.engine.run(fitted.inputs(fitted.frame), band=False)
    np.testing.assert_allclose(answer["yhat"], expected["yhat"], rtol=1e-9, atol=0)
    np.testing.assert_allclose(answer["trend"], expected["trend"], rtol=1e-9, atol=0)


def test_the_band_is_as_wide_as_prophets(fitted: Fitted, folder: Path) -> None:
    """The mean width over the horizon, averaged over ten seeds on both sides, within 2 %."""
    ahead = fitted.ahead
    theirs = []
    for seed in SEEDS:
        np.random.seed(seed)  # noqa: NPY002 - Prophet draws from the global state
        theirs.append(width(fitted.prophet.predict(ahead)))
    ours = [
        width(ProphetEngine.load(folder / "model.pr", seed=seed).run(fitted.inputs(ahead)))
        for seed in SEEDS
    ]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.02)


@pytest.mark.parametrize("name", ["linear", "linear, multiplied", "logistic"])
def test_the_trend_alone_spreads_as_prophets(name: str, tmp_path: Path) -> None:
    """With hardly any noise the width is that of the changes to come; 20 seeds, within 4 %."""
    case = CASES[name]
    lively = Case(case.options | {"changepoint_prior_scale": 0.5}, columns=case.columns)
    saved = json.loads(fit(lively))
    saved["params"]["sigma_obs"] = [[1e-9]]
    saved["params"]["beta"] = np.full_like(saved["params"]["beta"], 0.3).tolist()
    path = tmp_path / "model.pr"
    engines = [engine_of(saved, path, seed=seed) for seed in range(20)]
    model = model_from_json(json.dumps(saved))
    fitted = Fitted(model, engines[0], history(ROWS + AHEAD))
    for frame in (fitted.ahead, fitted.ahead[::7], fitted.ahead[::20]):
        theirs = []
        for seed in range(20):
            np.random.seed(seed)  # noqa: NPY002 - Prophet draws from the global state
            theirs.append(width(model.predict(frame)))
        ours = [width(engine.run(fitted.inputs(frame))) for engine in engines]
        assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.04)


def test_one_date_and_dates_out_of_order_are_answered_alike(fitted: Fitted) -> None:
    """Rows are independent of their neighbours, but for the band's random numbers."""
    frame = fitted.frame
    whole = fitted.engine.run(fitted.inputs(frame))
    order = np.random.default_rng(0).permutation(len(frame))
    mixed = fitted.engine.run(fitted.inputs(frame.iloc[order]))
    for name, values in whole.items():
        np.testing.assert_array_equal(mixed[name], values[order])
    one = fitted.engine.run(fitted.inputs(frame[-1:]))
    np.testing.assert_allclose(one["yhat"], whole["yhat"][-1:], rtol=1e-12)
    assert one["yhat_lower"][0] < one["yhat"][0] < one["yhat_upper"][0]


def test_the_example_is_the_last_row_of_the_training(fitted: Fitted) -> None:
    """As the trainer knew it: what Prophet standardised is given back as it was."""
    last = fitted.frame.iloc[ROWS - 1]
    assert fitted.engine.example == pytest.approx(
        {name: last[name] for name in fitted.engine.required}, rel=1e-8
    )


def test_a_countrys_holidays_are_known_in_any_year(tmp_path: Path) -> None:
    """Also before the history, and years after the last one that was looked up at load."""
    saved = fit(CASES["country"])
    dates = pd.to_datetime(["2015-09-07", "2024-02-29", "2030-10-12", "2031-01-02", "2031-05-01"])
    expected = model_from_json(saved).predict(pd.DataFrame({"ds": dates}))
    engine = engine_of(json.loads(saved), tmp_path / "model.pr")
    answer = engine.run({"ds": dates.to_numpy().astype("datetime64[ns]")}, band=False)
    np.testing.assert_allclose(answer["yhat"], expected["yhat"], rtol=1e-9)
    assert (expected["holidays"] != 0).sum() == 3  # the others are ordinary days
