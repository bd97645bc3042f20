"""What the runs behind registered versions say of them: where their data came from, how it is read.

Called by what looks back at predictions: live accuracy, and what fetches what came true.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

from registry.client import RegistryClient
from registry.errors import UsageError
from registry.pairing import Facts
from registry.predictions import Prediction
from training.record import Record
from training.tracking import Tracking
from training.workloads import get

_NAIVE: Final = ("naive", "mae")
_log = logging.getLogger(__name__)


@dataclass
class Versions:
    """Runs by the version they made; each is asked for once. May raise Unreachable."""

    client: RegistryClient
    tracking: Tracking
    _records: dict[tuple[str, str], Record | None] = field(default_factory=dict)

    def record(self, model: str, version: str) -> Record | None:
        """The run that made a version; None if there is none of ours, or it is gone."""
        key = (model, version)
        if key not in self._records:
            try:
                self._records[key] = self._read(*key)
            except UsageError as error:
                _log.warning("%s v%s: nothing more is known of it: %s", model, version, error)
                self._records[key] = None
        return self._records[key]

    def facts(self, record: Prediction) -> Facts:
        """What pairs are told of the version that answered.

        Its scale is the mean absolute error of repeating the last value, on its own hold-out.
        """
        found = self.record(record.model, record.version)
        if found is None:
            return Facts()
        baseline, metric = _NAIVE
        return Facts(
            series=(found.evaluation.series,),
            scale=found.evaluation.baselines.get(baseline, {}).get(metric),
            labels=_labels(found),
        )

    def _read(self, model: str, version: str) -> Record | None:
        if not version.isdigit():
            return None
        run = self.client.version(model, int(version)).run_id
        return Record.of(self.tracking, run) if run else None


def _labels(found: Record) -> dict[str, str]:
    """The number of each spelling of a class, as the graph answers it."""
    about = get(found.plan.workload, configuration=found.plan.configuration).about
    return {
        spelling: str(number)
        for one in about.fields
        if one.kind == "label"
        for spelling, number in one.labels.items()
    }
