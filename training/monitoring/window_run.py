"""A window's run in MLflow: found by its tag, written once, gone on with where it broke off.

Metrics carry the end of their window as time, and files have fixed names: to write a run again that
broke off changes nothing of what was there.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.client import reaching
from registry.settings import Settings
from training import plots
from training.monitoring.metrics import histogram
from training.monitoring.reference import Reference
from training.monitoring.tally import Tally
from training.monitoring.verdict import State, Verdict
from training.tracked_run import TrackedRun
from training.tracking import Tracking

WINDOW = "baton.window"
MODEL = "baton.model"
VERSION = "model_version"
_ALERT_TIME = "alert_time"
_BATCH = 500
_FINISHED = "FINISHED"


def iso(seconds: float) -> str:
    """A moment (s since 1970) as runs and people are told it; texts sort as times do."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds(text: str) -> float:
    """The reverse of `iso`."""
    return datetime.datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True, kw_only=True)
class WindowRun:
    """What is to be written of one version's window; `folder` has files that come with it."""

    model: str
    version: str
    window: Tally
    metrics: Mapping[str, float]
    verdicts: Sequence[Verdict]
    folder: Path


class WindowRuns:
    """The runs of windows in the configured store; every method may raise Unreachable."""

    def __init__(self, tracking: Tracking) -> None:
        """Nothing is asked for yet."""
        self._tracking = tracking

    @property
    def settings(self) -> Settings:
        """Those of the store."""
        return self._tracking.settings

    def write(self, found: WindowRun) -> bool:
        """Write a window; whether it was not there yet."""
        reference = found.window.reference
        experiment = f"{reference.experiment}_api"
        run = self._begun(experiment, found)
        if run is None:
            return False
        draw(found)
        self._log(run, found)
        run.log_artifacts(found.folder)
        run.finish(_FINISHED)
        return True

    def newest(self) -> tuple[float, float] | None:
        """The last window that has a run, finished or not: its beginning (s since 1970), length."""
        found = self._search(f"tags.`{WINDOW}` LIKE '2%'", [f"tags.`{WINDOW}` DESC"])
        if found is None:
            return None
        begun, _, length = found.data.tags[WINDOW].partition("/")
        return seconds(begun), float(length.removesuffix("s"))

    def is_finished(self, tags: Mapping[str, str]) -> bool:
        """Whether a run with these tags is there, and finished."""
        wanted = [*_equal(tags), f"attributes.status = '{_FINISHED}'"]
        return self._search(" and ".join(wanted)) is not None

    def _search(self, wanted: str, order: Sequence[str] = ()) -> Any:
        """The first run of the experiments of served models, or None."""
        client = self._tracking.client
        with reaching(self.settings.tracking_uri):
            experiments = client.search_experiments(filter_string="name LIKE '%_api'")
            ids = [experiment.experiment_id for experiment in experiments]
            found = client.search_runs(ids, wanted, max_results=1, order_by=[*order]) if ids else ()
        return found[0] if found else None

    def _begun(self, experiment: str, found: WindowRun) -> TrackedRun | None:
        """The run to write to: a new one, or one that broke off; None where it is finished."""
        tag = window_tag(found.window)
        named = {WINDOW: tag, VERSION: found.version, MODEL: found.model}
        there = self._search(" and ".join(_equal(named)))
        if there is not None:
            if there.info.status == _FINISHED:
                return None
            return TrackedRun(self._tracking, there.info.run_id, there.info.experiment_id)
        return self.begun(
            experiment,
            name=f"{found.model} v{found.version} {iso(found.window.since)}",
            tags={WINDOW: tag, **self.tags(found.model, found.version, found.window.reference)},
        )

    def begun(self, experiment: str, *, name: str, tags: Mapping[str, str]) -> TrackedRun:
        """A new run."""
        return TrackedRun.start(self._tracking, experiment, run_name=name, tags=tags)

    def tags(self, model: str, version: str, reference: Reference) -> dict[str, str]:
        """What every run about a served version says of it."""
        return {
            MODEL: model,
            VERSION: version,
            "environment": self.settings.environment,
            "data_source": reference.source or "unknown",
        }

    def _log(self, run: TrackedRun, found: WindowRun) -> None:
        """Metrics at the window's end, and what was raised."""
        at = int(found.window.until * 1000)
        metric = self._tracking.mlflow.entities.Metric
        logged = [metric(name, value, at, 0) for name, value in found.metrics.items()]
        with reaching(self.settings.tracking_uri):
            for first in range(0, len(logged), _BATCH):
                self._tracking.client.log_batch(run.run_id, logged[first : first + _BATCH])
        raised = [verdict for verdict in found.verdicts if verdict.state is State.RAISED]
        if raised:
            said = "; ".join(map(str, raised))
            run.set_tags({_ALERT_TIME: iso(found.window.until), "alert": said})


def window_tag(window: Tally) -> str:
    """What tells a window from every other one: when it began, and how long it is."""
    return f"{iso(window.since)}/{window.until - window.since:g}s"


def draw(found: WindowRun) -> None:
    """Put verdicts and the histogram of confidences among a window's files."""
    told = json.dumps([verdict.to_json() for verdict in found.verdicts], indent=1)
    (found.folder / "verdicts.json").write_text(told, encoding="utf-8")
    if found.window.confidences:
        counts = histogram(found.window.confidences)
        text = json.dumps(counts, indent=1)
        (found.folder / "prediction_confidence.json").write_text(text, encoding="utf-8")
        plots.counts(
            counts, "Confidence of predictions (%)", found.folder / "prediction_confidence.png"
        )


def _equal(tags: Mapping[str, str]) -> Iterator[str]:
    for name, text in tags.items():
        quote = '"' if "'" in text else "'"  # MLflow's filters know no escape
        yield f"tags.`{name}` = {quote}{text}{quote}"
