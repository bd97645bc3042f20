"""A real monitor's page, of two models whose predictions are in memory: nothing goes to MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from registry.profile import LabelProfile, NumberProfile, ReferenceProfile
from tests.fakes.prediction_log import FakePredictionLog, Told, classified, prediction
from training.monitoring.live import Live
from training.monitoring.monitor import Monitor, Parts
from training.monitoring.page import Page
from training.monitoring.reference import Reference
from training.monitoring.thresholds import RulesFile

_WINDOW = 60.0
_IRIS = Reference(
    experiment="iris",
    profile=ReferenceProfile(
        1000, {"x": NumberProfile((0.5,), (0.5, 0.5))}, {}, LabelProfile({"0": 0.5, "1": 0.5}), 500
    ),
    features=("x",),
    labels=("setosa", "virginica"),
    metrics={"accuracy": 0.95},
)


class _References:
    def of(self, model: str, version: str) -> Reference:
        return _IRIS


class _Truth:
    """Of classes and of numbers, so that the one model has all there is to show."""

    def pairs(self, model: str, since: float, until: float) -> list[Told]:
        told = [Told(version="1", time=since, predicted="a", truth="a")]
        return [*told, Told(version="1", time=since, predicted=1.0, truth=2.0, horizon=1)]


@contextmanager
def monitored() -> Iterator[str]:
    """Its address, once a window is written."""
    begun = time.time() // _WINDOW * _WINDOW - 2 * _WINDOW
    records = [classified(0.9, 0.1, time=begun + i / 10, inputs={"x": [i % 2]}) for i in range(400)]
    priced = [prediction(time=begun + 1, outputs={"yhat": [2.0]}, last_known_price=1.0)]
    page = Page()
    parts = Parts(
        log=FakePredictionLog([*records, *priced]),
        references=_References(),
        rules=RulesFile.read(),
        page=page,
        live=Live(_Truth()),
    )
    monitor = Monitor(parts, window_seconds=_WINDOW, clock=lambda: begun + _WINDOW + 31)
    assert monitor.catch_up() == 1
    server, thread = page.serve("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
