"""stock_lstm: the next days of a share by an LSTM, from its last daily rows.

Judged at origins that move through the hold-out (`training/shares.py`): the days that follow each
are forecast from the rows before it, without learning again. Against repeating the last close (a
random walk) and the last week; a share is nearly a random walk, and where that forecast wins the
run's verdict says so.

What is served is the graph that was judged, with the rows that were there last; a request may bring
fresher ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from registry.bundle import FOLDER, Golden
from registry.errors import DataInvalid, UsageError
from training import keras_model, metrics, plots, shares, window_network
from training.data.checks import Requirements
from training.data.dataset import DATE, VALUE, Field
from training.parameter import Parameter, Values
from training.share_forecaster import OUTPUTS, STRATEGIES, Forecaster, learn
from training.tracking import save_model
from training.workload import (
    About,
    Answer,
    Array,
    Material,
    Measured,
    Packaged,
    Request,
    Split,
    score,
)

_WEEK = 5
_SHOWN_ROWS = 250
_HISTORY_ROWS = 60  # of the bundle: enough weeks to tell which days are open
_GOLDEN = 3

_PARAMETERS = (
    Parameter(
        name="seq_length", default=30, minimum=5, maximum=shares.ROWS, help="Rows it looks at."
    ),
    Parameter(name="epochs", default=50, minimum=1, help="Most passes over the windows."),
    Parameter(
        name="learning_rate", default=0.001, minimum=1e-6, maximum=1.0, help="Of Adam's steps."
    ),
    Parameter(name="hidden_size", default=64, minimum=4, help="Units of a layer."),
    Parameter(name="num_layers", default=2, minimum=1, maximum=4, help="Layers."),
    Parameter(name="days", default=30, minimum=shares.DAYS, maximum=90, help="Days it tells."),
    Parameter(
        name="strategy",
        default="best",
        choices=tuple(STRATEGIES),
        help="All days at once, one after the other, or whichever was nearer.",
    ),
    Parameter(
        name="test_size",
        default=0.2,
        minimum=0.05,
        maximum=0.5,
        help="Share of the rows, the last ones, that is only judged on.",
    ),
)
_ABOUT = About(
    name="stock_lstm",
    experiment="stock-price-prediction",
    model="stock-lstm-{ticker}",
    run_name="lstm_training",
    kind="forecast",
    default_source="sample",
    series={"sample": "MSFT", "yahoo": "PETR4.SA"},
    fields=(
        Field(DATE, "date", ("date", "timestamp", "ts")),
        Field(VALUE, "number", ("adj close", "adj_close", "close", "price")),
        Field("open", "number"),
        Field("high", "number"),
        Field("low", "number"),
        Field("volume", "number"),
    ),
    parameters=_PARAMETERS,
    metrics={"rmse": metrics.rmse, "mae": metrics.mae, "mape": metrics.mape},
    primary="rmse",
    greater_is_better=False,
    needs=("keras", "tensorflow", "tf2onnx"),
)


class StockLstm:
    """See the module's docstring."""

    about = _ABOUT

    def requirements(self, params: Values) -> Requirements:
        """Increasing dates, prices above zero, rows for the windows of both parts."""
        length, days = int(params["seq_length"]), int(params["days"])
        return Requirements(
            min_rows=max(600, 12 * (length + days)),
            dated=True,
            max_gap_steps=30.0,
            positive=(VALUE, "open", "high", "low"),
            different=(VALUE, 2),
        )

    def split(self, frame: pd.DataFrame, params: Values, *, seed: int) -> Split:  # noqa: ARG002
        """In order of time; raises DataInvalid where prices of a day are not on one scale."""
        outside = (frame[VALUE] > frame["high"] * 1.001) | (frame[VALUE] < frame["low"] * 0.999)
        if outside.any():
            row = frame.index[int(outside.to_numpy().argmax())]
            found = frame.loc[row]
            raise DataInvalid(
                f"row {row}: {VALUE}: expected a close between low {found['low']:g} and high "
                f"{found['high']:g}, got {found[VALUE]:g}: all prices have to be adjusted alike"
            )
        at = len(frame) - int(len(frame) * float(params["test_size"]))
        if len(frame) - at < (least := shares.ROWS + 2 * shares.DAYS):
            raise UsageError(
                f"test_size {params['test_size']}: expected {least} rows at least, "
                f"got {len(frame) - at}"
            )
        return Split(frame.iloc[:at], frame.iloc[at:])

    def fit(self, train: pd.DataFrame, params: Values, *, seed: int) -> Forecaster:
        """See `share_forecaster.learn`."""
        return learn(train, params, seed=seed)

    def save(self, model: Forecaster, folder: Path) -> None:
        """As Keras' own file, and the rest as JSON."""
        model.save(folder)

    def load(self, folder: Path) -> Forecaster:
        """The reverse of `save`."""
        return Forecaster.load(folder)

    def requests(self, holdout: pd.DataFrame) -> Sequence[Request]:
        """The rows before each origin, and the days that are known after it."""
        return shares.requests(holdout)

    def answer(self, model: Forecaster, requests: Sequence[Request]) -> Sequence[Answer]:
        """The network's forecast for each request's history."""
        return model.answer(requests)

    def truth(self, holdout: pd.DataFrame) -> Array:
        """The closes after each origin, one origin after the other."""
        return shares.truth(holdout)

    def predicted(self, answers: Sequence[Answer]) -> Array:
        """The forecasts, in the same order."""
        return np.array([row["yhat"] for answer in answers for row in answer["predictions"]])

    def measure(self, model: Forecaster, material: Material) -> Measured:
        """Naive forecasts at the same origins, coverage, direction, training error; plots."""
        holdout = material.holdout
        requests = self.requests(holdout)
        answers = self.answer(model, requests)
        truth = self.truth(holdout)
        closes = [np.array([row["close"] for row in asked["history"]]) for asked in requests]
        naives = {
            "naive": [np.full(shares.DAYS, past[-1]) for past in closes],
            "seasonal_naive": [np.resize(past[-_WEEK:], shares.DAYS) for past in closes],
        }
        baselines = {
            name: score(self, holdout, [_answered(path) for path in told])
            for name, told in naives.items()
        }
        last = np.repeat([past[-1] for past in closes], shares.DAYS)
        lower, upper = (
            np.array([row[name] for answer in answers for row in answer["predictions"]])
            for name in OUTPUTS[1:]
        )
        own = score(self, holdout, answers)
        known = self.answer(model, self.requests(material.train))
        self._draw(model, material)
        (material.artifacts / "scalers.json").write_text(
            json.dumps({"columns": shares.COLUMNS, **model.scales.to_json()}, indent=2),
            encoding="utf-8",
        )
        checkpoint = material.artifacts / "checkpoint"
        checkpoint.mkdir(parents=True, exist_ok=True)
        model.network.save(checkpoint / "best.keras")
        window = shares.values(holdout)[None, -model.shape.length :]
        return Measured(
            metrics={
                "train_rmse": metrics.rmse(self.truth(material.train), self.predicted(known)),
                "test_rmse": own["rmse"],
                "directional_accuracy": float(
                    (np.sign(self.predicted(answers) - last) == np.sign(truth - last)).mean()
                ),
                "coverage": metrics.coverage(truth, lower, upper),
                "next_prediction": float(model.told(window)["yhat"][0, 0]),
                "data_points": float(len(material.train) + len(holdout)),
                **{f"off_{name}": value for name, value in model.off.items()},
            },
            baselines=baselines,
            curves=model.curves,
        )

    def _draw(self, model: Forecaster, material: Material) -> None:
        """The last forecast whose days are known, and how far each day was off."""
        holdout, folder = material.holdout, material.artifacts / "plots"
        days = model.shape.days
        rows = shares.values(holdout)
        seen = window_network.windows(rows, model.shape.length)[:-days]
        told = model.told(seen)
        closes = rows[:, shares.CLOSE : shares.CLOSE + 1]
        after = window_network.windows(closes[model.shape.length :], days)[:, :, 0]
        off = np.sqrt(((told["yhat"] - after) ** 2).mean(axis=0))
        naive = np.sqrt(((closes[model.shape.length - 1 : -days] - after) ** 2).mean(axis=0))
        plots.lines(
            {"the network": off, "the last close": naive},
            "How far each day was off (RMSE)",
            folder / "horizon.png",
        )
        plots.lines(model.curves, "Loss by epoch", folder / "loss.png")
        last = holdout.tail(days)
        forecast = pd.DataFrame({name: values[-1] for name, values in told.items()}).assign(
            **{DATE: last[DATE].to_numpy()}
        )
        title = f"The last {days} days, told before they came"
        shown = holdout.iloc[:-days].tail(_SHOWN_ROWS)
        plots.forecast(shown, last, forecast, title, folder / "forecast.png")

    def package(self, model: Forecaster, material: Material, folder: Path) -> Packaged:
        """MLflow's model of Keras, and the same as ONNX with its parity proven on the hold-out."""
        graph = window_network.served(
            model.network, model.scales, model.shape, model.strategy, model.band
        )
        requests = self.requests(material.holdout)
        seen = model.windows(requests).astype(np.float32)
        save_model(
            "tensorflow",
            graph,
            folder,
            run_id=material.run_id,
            example=seen[:1],
            answer={name: np.asarray(value) for name, value in graph(seen[:1]).items()},
            requirements=keras_model.requirements(),
        )
        path = folder / FOLDER / "model.onnx"
        window_network.export(
            model.network, model.scales, model.shape, model.strategy, model.band, path
        )
        worst = window_network.check_parity(path, seen, model.told(seen))
        (material.artifacts / "parity.json").write_text(
            json.dumps({"windows": len(seen), "largest_relative_difference": worst}),
            encoding="utf-8",
        )
        last = material.holdout.tail(max(_HISTORY_ROWS, model.shape.length))
        picked = requests[:: max(1, len(requests) // _GOLDEN)][:_GOLDEN]
        examples = tuple(
            {"request": asked, "response": answer}
            for asked, answer in zip(picked, self.answer(model, picked), strict=True)
        )
        return Packaged(
            engine="onnx",
            model_file=f"{FOLDER}/model.onnx",
            schema={
                "columns": [*shares.COLUMNS],
                "positive": [*shares.COLUMNS[:4]],
                "target": "close",
                "data_points": len(material.train) + len(material.holdout),
                "history": shares.history(last),
                "inputs": [
                    {"name": "history", "type": "rows", "required": False},
                    {"name": "horizon", "type": "long", "required": True},
                ],
                "outputs": [
                    {"name": DATE, "type": "datetime"},
                    *({"name": name, "type": "double"} for name in OUTPUTS),
                ],
                "strategy": model.strategy,
                "example": {"horizon": min(5, model.shape.days)},
            },
            golden=Golden(examples, rtol=1e-4, atol=1e-4),
        )


def _answered(path: Array) -> Answer:
    return {"predictions": [{"yhat": float(value)} for value in path]}


WORKLOAD = StockLstm()
