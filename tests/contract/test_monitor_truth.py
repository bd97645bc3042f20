"""The monitor of a command hears what feedback said."""

from __future__ import annotations

from contextlib import closing

from registry.feedback import Receiver
from registry.predictions import Position
from registry.settings import Settings
from registry.sql_outcomes import open_outcomes
from registry.sql_predictions import open_log
from tests.fakes.prediction_log import record
from training.monitoring.assembly import parts


def test_the_monitor_judges_by_what_was_told(embedded: Settings) -> None:
    with closing(open_log(embedded)) as log, closing(open_outcomes(embedded)) as outcomes:
        log.append("s", "l", [record("p1", outputs={"y": [1.5]})], Position(1, 1))
        receiver = Receiver(outcomes=outcomes, now=lambda: 2000.0)
        receiver.receive([{"prediction_id": "p1", "actual": 2.0}], by="ada")
        truth = parts(embedded).live._truth
        assert [(one.predicted, one.truth) for one in truth.pairs("iris", 0.0, 1e9)] == [(1.5, 2.0)]
