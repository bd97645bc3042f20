"""A trained network with all it needs to forecast a share: scales, strategy, band.

Days are told all at once or one after the other, by which was nearer on the windows that stopped
the training; the band is how far those were off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from training import keras_model, shares, window_network
from training.data.calendar import following, frequency
from training.data.dataset import DATE, iso
from training.parameter import Values
from training.window_network import Scales, Shape, Strategy
from training.workload import Answer, Array, Request

OUTPUTS: Final = ("yhat", "yhat_lower", "yhat_upper")
STRATEGIES: Final[Mapping[str, Sequence[Strategy]]] = {
    "best": ("direct", "recursive"),
    "direct": ("direct",),
    "recursive": ("recursive",),
}
# One step at a time asks the network once for each day: it has to be nearer by so much.
_DEARER: Final[Mapping[str, float]] = {"recursive": 1.02}
_BAND: Final = (0.1, 0.9)
_HELD_SHARE: Final = 0.15
_NETWORK, _KNOWN = "network.keras", "known.json"


@dataclass(frozen=True, kw_only=True)
class Forecaster:
    """See the module. `off` is the error of each strategy that was tried, in log returns."""

    network: Any
    shape: Shape
    scales: Scales
    strategy: Strategy
    off: Mapping[str, float]
    band: Array
    curves: Mapping[str, Sequence[float]]

    def told(self, seen: Array) -> Mapping[str, Array]:
        """Prices of each day, [n, days] a name, after windows [n, length, 5]."""
        path = window_network.paths(
            self.network, seen.astype(np.float32), self.scales, self.strategy, self.shape.days
        )
        last = seen[:, -1, shares.CLOSE][:, None]
        low, high = self.band
        prices = (last * np.exp(each) for each in (path, path + low, path + high))
        return dict(zip(OUTPUTS, prices, strict=True))

    def windows(self, requests: Sequence[Request]) -> Array:
        """What it looks at of each request's history, [n, length, 5]."""
        return np.stack([shares.asked_values(one)[-self.shape.length :] for one in requests])

    def answer(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """The forecast for each request's history, in the form of `/predict`."""
        told = self.told(self.windows(requests))
        answers = []
        for number, asked in enumerate(requests):
            dates = pd.Series(pd.to_datetime([row[DATE] for row in asked["history"]]))
            days = following(dates.iloc[-1], frequency(dates), asked["horizon"])
            columns = [told[name][number, : asked["horizon"]].tolist() for name in OUTPUTS]
            rows = zip(map(iso, days), *columns, strict=True)
            answers.append(
                {"predictions": [dict(zip((DATE, *OUTPUTS), row, strict=True)) for row in rows]}
            )
        return answers

    def save(self, folder: Path) -> None:
        """As Keras' own file, and the rest as JSON."""
        keras_model.save(self.network, folder / _NETWORK)
        known = {
            "shape": vars(self.shape),
            "scales": self.scales.to_json(),
            "strategy": self.strategy,
            "off": dict(self.off),
            "band": self.band.tolist(),
            "curves": {name: list(values) for name, values in self.curves.items()},
        }
        (folder / _KNOWN).write_text(json.dumps(known), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The reverse of `save`."""
        known = json.loads((folder / _KNOWN).read_text(encoding="utf-8"))
        return cls(
            network=keras_model.load(folder / _NETWORK),
            shape=Shape(**known["shape"]),
            scales=Scales(**{name: np.array(part) for name, part in known["scales"].items()}),
            strategy=known["strategy"],
            off=known["off"],
            band=np.array(known["band"]),
            curves=known["curves"],
        )


def learn(train: pd.DataFrame, params: Values, *, seed: int) -> Forecaster:
    """Learn; choose the strategy and measure the band on the windows that were held back."""
    shape = Shape(
        length=int(params["seq_length"]),
        days=int(params["days"]),
        hidden=int(params["hidden_size"]),
        layers=int(params["num_layers"]),
    )
    rows = shares.values(train)
    direct, _ = window_network.targets(rows, shape)
    held = max(1, int(len(direct) * _HELD_SHARE))
    scales = window_network.measured(rows[: len(rows) - held - shape.days], shape)
    keras_model.seed_everything(seed)
    network = window_network.build(shape, scales)
    curves = window_network.train(
        network,
        rows,
        scales,
        shape,
        epochs=int(params["epochs"]),
        rate=float(params["learning_rate"]),
        held=held,
    )
    seen = window_network.windows(rows, shape.length)[: len(direct)][-held:].astype(np.float32)
    errors = {
        strategy: direct[-held:] - window_network.paths(network, seen, scales, strategy, shape.days)
        for strategy in STRATEGIES[str(params["strategy"])]
    }
    off: dict[str, float] = {
        name: float(np.sqrt((error**2).mean())) for name, error in errors.items()
    }
    best = min(errors, key=lambda name: off[name] * _DEARER.get(name, 1.0))
    return Forecaster(
        network=network,
        shape=shape,
        scales=scales,
        strategy=best,
        off=off,
        band=np.quantile(errors[best], _BAND, axis=0),
        curves=curves,
    )
