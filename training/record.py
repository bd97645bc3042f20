"""What a finished run says of itself in MLflow: all that is needed to make it again and compare."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from registry.client import reaching
from registry.errors import UsageError
from registry.evaluation import Evaluation
from training.job import Plan
from training.tracking import Tracking

_FILES = ("plan.json", "dependencies.json", "hardware.json", "evaluation.json")
# The machine's, and said with the rest of it.
_NOT_A_PARAMETER = "cuda_available"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run: its plan, its numbers, its parameters, and the code, packages and machine it had."""

    run_id: str
    plan: Plan
    evaluation: Evaluation
    params: Mapping[str, str]
    made_with: Mapping[str, str]
    dirty: bool

    @classmethod
    def of(cls, tracking: Tracking, run_id: str) -> Self:
        """Read it; raises UnknownName, or UsageError for a run that does not say enough."""
        with reaching(tracking.settings.tracking_uri, missing=("run", run_id)):
            run = tracking.client.get_run(run_id).data
        plan, versions, machine, evaluation = _files(tracking, run_id)
        return cls(
            run_id=run_id,
            plan=Plan.from_json(plan),
            evaluation=Evaluation.from_json(evaluation),
            params={k: v for k, v in run.params.items() if k != _NOT_A_PARAMETER},
            made_with={
                "git commit": run.tags.get("git_commit", ""),
                "python": versions["python"],
                **versions["packages"],
                **{f"machine: {name}": str(value) for name, value in machine.items()},
            },
            dirty=run.tags.get("git_dirty") == "true",
        )

    @property
    def commit(self) -> str:
        """The git commit it was made with, "" if it does not say."""
        return self.made_with["git commit"]


def _files(tracking: Tracking, run_id: str) -> list[dict[str, Any]]:
    """The run's JSON files, in the order of `_FILES`."""
    with (
        tempfile.TemporaryDirectory(prefix="baton-record-") as scratch,
        reaching(tracking.settings.tracking_uri),
    ):
        there = {file.path for file in tracking.client.list_artifacts(run_id)}
        if missing := [name for name in _FILES if name not in there]:
            raise UsageError(
                f"run {run_id}: no {' and no '.join(missing)} among its artifacts; what can be "
                "made again is a run of python -m training that got through evaluate"
            )
        paths = [tracking.client.download_artifacts(run_id, name, scratch) for name in _FILES]
        return [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
