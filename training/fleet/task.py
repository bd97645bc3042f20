"""One series of a fleet: trained, packaged and registered in a process of a crew.

Whatever goes wrong becomes an outcome with a reason: it costs this series and no other.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from registry.errors import BatonError, DataInvalid, UsageError
from registry.settings import Settings
from training import pipeline
from training.fleet.plan import FleetPlan
from training.fleet.series import SeriesFile
from training.tracked_run import PARENT
from training.tracking import Tracking
from training.trained import Trained
from training.workloads import get

SERIES = "baton.fleet_series"
OUTCOME = "baton.fleet_outcome"
_LONGEST_REASON = 1000


@dataclass(frozen=True, kw_only=True)
class Task:
    """A series that is to be trained, below the run `parent`."""

    series: str
    plan: FleetPlan
    file: SeriesFile
    settings: Settings
    parent: str
    tries: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a series.

    `metric` is the workload's primary one on the hold-out; `ratio` is it over the best naive
    baseline's, or the reverse where more is better: below 1 is better than naive, and comparable
    between series. `reason` says why there is no version.
    """

    series: str
    model: str
    version: int | None = None
    run_id: str = ""
    metric: float | None = None
    ratio: float | None = None
    tries: int = 1
    seconds: float = 0.0
    reason: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether a version was registered."""
        return self.version is not None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `dataclasses.asdict`."""
        return cls(**data)


def train(task: Task, *, run: Callable[..., Trained] = pipeline.run) -> Outcome:
    """Train one series; a fault that may pass is tried again, as often as the task says.

    `run` is the pipeline.
    """
    began = time.monotonic()
    model = task.plan.model_of(task.series)
    reason = ""
    for attempt in range(1, task.tries + 1):
        try:
            return _trained(task, attempt, began, run)
        except (UsageError, DataInvalid) as error:  # the same would come again
            reason = _told(error)
            break
        except Exception as error:  # noqa: BLE001 - it is this series' alone
            reason = _told(error)
    return Outcome(
        series=task.series,
        model=model,
        tries=attempt,
        seconds=_since(began),
        reason=reason[:_LONGEST_REASON],
    )


def _trained(task: Task, attempt: int, began: float, run: Callable[..., Trained]) -> Outcome:
    """Run the pipeline, and say on its run what came of it, for whoever goes on with the fleet."""
    plan = task.plan.of_series(task.series, task.file, task.settings)
    tags = {PARENT: task.parent, SERIES: task.series, "baton.fleet_try": str(attempt)}
    done = run(plan, task.settings, tags=tags)
    metric, ratio = _judged(task.plan, done)
    outcome = Outcome(
        series=task.series,
        model=done.model,
        version=done.version,
        run_id=done.run_id,
        metric=metric,
        ratio=ratio,
        tries=attempt,
        seconds=_since(began),
    )
    told = json.dumps(dataclasses.asdict(outcome))
    Tracking(task.settings).client.set_tag(done.run_id, OUTCOME, told)
    return outcome


def _judged(plan: FleetPlan, done: Trained) -> tuple[float, float | None]:
    """The primary metric, and how it stands to the best baseline's."""
    about = get(plan.workload, configuration=plan.configuration).about
    own = done.metrics[about.primary]
    naive = [metrics[about.primary] for metrics in done.baselines.values()]
    best = (max if about.greater_is_better else min)(naive, default=None)
    above, below = (best, own) if about.greater_is_better else (own, best)
    return own, above / below if above is not None and below else None


def _told(error: Exception) -> str:
    """An error in words; its class where it is none of ours."""
    return str(error) if isinstance(error, BatonError) else f"{type(error).__name__}: {error}"


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
