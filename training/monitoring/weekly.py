"""The report of each week, once: a run of its own in the experiment of the windows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from registry.predictions import PredictionLog
from training.monitoring import report
from training.monitoring.reference import References
from training.monitoring.report import Report
from training.monitoring.thresholds import RulesFile
from training.monitoring.window_run import MODEL, WindowRuns, iso

REPORT = "baton.report"
_WEEK = 7 * report.DAY
# 1970 began on a Thursday; weeks begin on Mondays, 00:00 UTC.
_MONDAY = 4 * report.DAY


@dataclass
class Weekly:
    """Writes a week's reports when the first window after it is written."""

    log: PredictionLog
    references: References
    rules: RulesFile
    runs: WindowRuns
    done: float = 0.0

    def written(self, until: float) -> None:
        """Windows are written up to `until` (s since 1970). May raise Unreachable."""
        monday = (until - _MONDAY) // _WEEK * _WEEK + _MONDAY
        if monday == self.done:
            return
        span = (monday - _WEEK, monday)
        for model in self.log.models(*span):
            if model and not self.runs.is_finished({REPORT: _tag(span), MODEL: model}):
                self.write(model, span)
        self.done = monday

    def write(self, model: str, span: tuple[float, float]) -> str:
        """Write a model's report on since ≤ time < until into MLflow; the id of its run.

        Empty where nothing was asked of the model.
        """
        made = report.made(self.log, self.references, self.rules.of(model), model, span)
        return self._kept(made) if made.reference else ""

    def _kept(self, made: Report) -> str:
        assert made.reference is not None
        tag = _tag((made.since, made.until))
        with tempfile.TemporaryDirectory(prefix="baton-report-") as scratch:
            made.write(Path(scratch))
            run = self.runs.begun(
                f"{made.reference.experiment}_api",
                name=f"{made.model} report {iso(made.since)[:10]}",
                tags={REPORT: tag, **self.runs.tags(made.model, made.latest, made.reference)},
            )
            with run.ending():
                run.log_artifacts(Path(scratch))
        return run.run_id


def _tag(span: tuple[float, float]) -> str:
    return f"{iso(span[0])}/{iso(span[1])}"
