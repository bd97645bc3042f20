"""A fleet from its first series to its summary; knows crews and the parent run, no engine.

A Ctrl-C, or whatever else ends it, leaves a parent run marked KILLED (or FAILED) that can be gone
on with: what its children finished is not trained again.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry.errors import BatonError
from registry.settings import Settings
from training.crew import Crew, WorkerLost, each
from training.fleet.parent import ParentRun
from training.fleet.series import SeriesFile
from training.fleet.summary import CSV, Summary
from training.fleet.task import Outcome, Task
from training.workloads import get

_log = logging.getLogger(__name__)


def run_fleet(
    parent: ParentRun,
    series: SeriesFile,
    settings: Settings,
    *,
    crew: Crew[Task, Outcome],
    tries: int,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> Summary:
    """Train every series that the parent has no finished child of; never raises for one of them.

    `crew` does the tasks and is closed here; `on_outcome` is told of each as it ends, of those that
    were finished before at once.
    """
    began = time.monotonic()
    with _closing(parent, crew):
        parent.end_children()
        before = parent.trained()
        outcomes = [before[name] for name in series.names if name in before]
        for kept in outcomes:
            on_outcome(kept)
        tasks = (
            Task(
                series=name,
                plan=parent.plan,
                file=dataclasses.replace(series, names=()),
                settings=settings,
                parent=parent.run.run_id,
                tries=tries,
            )
            for name in series.names
            if name not in before
        )
        for task, came in each(crew, tasks):
            outcome = _lost(task, came) if isinstance(came, WorkerLost) else came
            outcomes.append(outcome)
            on_outcome(outcome)
        plan = parent.plan
        summary = Summary(
            run_id=parent.run.run_id,
            workload=plan.workload,
            metric=get(plan.workload, configuration=plan.configuration).about.primary,
            outcomes=outcomes,
            kept=len(before),
            seconds=round(time.monotonic() - began, 2),
        )
        parent.keep({CSV: summary.csv()})
        parent.run.log_metrics(summary.metrics())
    parent.end_children()
    parent.run.finish("FAILED" if summary.failed else "FINISHED")
    return summary


def _lost(task: Task, lost: WorkerLost) -> Outcome:
    """A series whose process ended twice, the second time with nothing beside it."""
    model = task.plan.model_of(task.series)
    return Outcome(series=task.series, model=model, tries=2, reason=str(lost))


@contextmanager
def _closing(parent: ParentRun, crew: Crew[Task, Outcome]) -> Iterator[None]:
    """End the crew; whatever broke it off, leave a parent run that can be gone on with."""
    try:
        with crew:
            yield
    except BaseException as error:
        try:
            parent.end_children()
            parent.run.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        except BatonError as unreachable:
            _log.warning("run %s could not be ended: %s", parent.run.run_id, unreachable)
        raise
