"""The parent run of a fleet in MLflow: its plan, its children, its summary.

What was finished is what the children say: a child with a registered version is done, whoever
trained it and however this fleet's command ended.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from registry.client import reaching
from registry.errors import StepFailed, UsageError
from training import environment
from training.fleet.plan import FleetPlan
from training.fleet.task import OUTCOME, SERIES, Outcome
from training.tracked_run import PARENT, TrackedRun
from training.tracking import Tracking

FLEET = "baton.fleet"
_PLAN = "fleet.json"
_PAGE = 500


@dataclass(frozen=True)
class ParentRun:
    """An open parent run; every method may raise Unreachable."""

    run: TrackedRun
    plan: FleetPlan

    @classmethod
    def begin(cls, tracking: Tracking, plan: FleetPlan, *, series: int) -> Self:
        """Open a new one."""
        tags = {
            FLEET: plan.workload,
            "environment": tracking.settings.environment,
            "baton.workload": plan.workload,
            "baton.model": plan.model,
            **environment.code(),
        }
        run = TrackedRun.start(
            tracking, plan.experiment, run_name=f"{plan.workload} fleet", tags=tags
        )
        parent = cls(run, plan)
        run.log_params({"series": series, "series_file": plan.series_file, **plan.params})
        parent.keep({_PLAN: json.dumps(plan.to_json(), indent=2)})
        return parent

    @classmethod
    def resume(cls, tracking: Tracking, run_id: str) -> Self:
        """Open one that nobody works on any more; raises UsageError for a run that is none."""
        uri = tracking.settings.tracking_uri
        with reaching(uri, missing=("run", run_id)):
            found = tracking.client.get_run(run_id)
        if FLEET not in found.data.tags:
            raise UsageError(f"run {run_id}: not the parent run of a fleet; look at its id again")
        with tempfile.TemporaryDirectory(prefix="baton-fleet-") as scratch, reaching(uri):
            path = tracking.mlflow.artifacts.download_artifacts(
                run_id=run_id,
                artifact_path=_PLAN,
                dst_path=scratch,
                tracking_uri=uri,
            )
            plan = FleetPlan(**json.loads(Path(path).read_text(encoding="utf-8")))
        with reaching(uri):
            tracking.client.update_run(run_id, status="RUNNING")
        return cls(TrackedRun(tracking, run_id, found.info.experiment_id), plan)

    def trained(self) -> Mapping[str, Outcome]:
        """What is finished, by series; the newest where there are several."""
        found: dict[str, Outcome] = {}
        for child in self._children():
            tags = child.data.tags
            if "model_version" in tags and tags.get(SERIES) not in found:
                found[tags[SERIES]] = _outcome(child)
        return found

    def end_children(self) -> int:
        """Mark children that nobody works on any more as KILLED; how many there were.

        Only for who has ended its own workers: a child whose process was killed says RUNNING.
        """
        left = [c.info.run_id for c in self._children("attributes.status = 'RUNNING'")]
        for run_id in left:
            with reaching(self.run.tracking.settings.tracking_uri):
                self.run.tracking.client.set_terminated(run_id, "KILLED")
        return len(left)

    def keep(self, files: Mapping[str, str]) -> None:
        """Show text files with the run."""
        with tempfile.TemporaryDirectory(prefix="baton-fleet-") as scratch:
            for name, text in files.items():
                Path(scratch, name).write_text(text, encoding="utf-8")
            self.run.log_artifacts(Path(scratch))

    def _children(self, also: str = "") -> Iterator[Any]:
        """The child runs, newest first, a page at a time."""
        tracking = self.run.tracking
        wanted = f"tags.`{PARENT}` = '{self.run.run_id}'" + (f" and {also}" if also else "")
        token = None
        while True:
            with reaching(tracking.settings.tracking_uri):
                page = tracking.client.search_runs(
                    [self.run.experiment_id],
                    filter_string=wanted,
                    max_results=_PAGE,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
            yield from page
            token = page.token
            if not token:
                return


def _outcome(child: Any) -> Outcome:
    """What a finished child says; less where its process ended before it could say all."""
    tags = child.data.tags
    if told := tags.get(OUTCOME):
        try:
            return Outcome.from_json(json.loads(told))
        except (ValueError, TypeError) as error:
            raise StepFailed(f"run {child.info.run_id}: tag {OUTCOME}: {error}") from error
    return Outcome(
        series=tags[SERIES],
        model=tags["baton.model"],
        version=int(tags["model_version"]),
        run_id=child.info.run_id,
        tries=int(tags.get("baton.fleet_try", 1)),
    )
