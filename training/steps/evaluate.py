"""evaluate: measure the model, the naive baselines and the current Production version.

All on the same hold-out and with the same metric functions. The Production version is asked as it
is served; where that is not possible the run says why, and training goes on. It may have learnt
from rows of this hold-out (later data, another share); that flatters it, never the candidate.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from registry.evaluation import Comparison, Evaluation
from training.data.dataset import fingerprint
from training.job import Job
from training.steps.fit import seed_everything
from training.workload import About, Workload, score

_log = logging.getLogger(__name__)


def evaluate(workload: Workload, job: Job) -> None:
    """Write `evaluation.json`, what was predicted, and the plots; log the metrics."""
    data, material = job.workspace.dataset(), job.material()
    material.artifacts.mkdir(parents=True, exist_ok=True)
    seed_everything(job.plan.seed)
    model = workload.load(job.workspace.model)
    answers = workload.answer(model, workload.requests(material.holdout))
    own = score(workload, material.holdout, answers)
    job.workspace.write("predicted.json", {"rows": workload.predicted(answers).tolist()})
    measured = workload.measure(model, material)
    evaluation = Evaluation(
        series=data.name,
        source=data.source,
        rows=len(material.train) + len(material.holdout),
        data_fingerprint=data.fingerprint,
        holdout_fingerprint=fingerprint(material.holdout),
        metrics={**own, **measured.metrics},
        data_end=data.last_date,
        baselines=measured.baselines,
        current=_current(workload, job, material.holdout),
    )
    job.workspace.write("evaluation.json", evaluation.to_json())
    job.workspace.write("artifacts/evaluation.json", evaluation.to_json())
    job.run.log_metrics(flat(evaluation))
    job.run.log_curves(measured.curves)
    said = verdict(workload.about, evaluation, caveat=data.caveat)
    job.workspace.write("verdict.json", {"verdict": said})
    job.run.set_tags({"baton.verdict": said, "mlflow.note.content": said})
    job.run.log_artifacts(job.workspace.artifacts)


def flat(evaluation: Evaluation) -> dict[str, float]:
    """All numbers under one name each: `mae`, `naive_mae`, `current_mae`."""
    groups: dict[str, Mapping[str, float]] = {"": evaluation.metrics, **evaluation.baselines}
    if evaluation.current is not None:
        groups["current"] = evaluation.current.metrics
    return {
        f"{group}_{name}".lstrip("_"): value
        for group, metrics in groups.items()
        for name, value in metrics.items()
    }


def verdict(about: About, evaluation: Evaluation, *, caveat: str = "") -> str:
    """One plain sentence: is the model better than doing nothing clever?"""
    own = evaluation.metrics[about.primary]
    sign = 1 if about.greater_is_better else -1
    better: list[str] = []
    worse: list[str] = []
    for name, metrics in evaluation.baselines.items():
        theirs = metrics[about.primary]
        (better if sign * own > sign * theirs else worse).append(f"{name} ({theirs:.4g})")
    said = [
        *([f"better than {' and '.join(better)}"] if better else []),
        *([f"no better than {' and '.join(worse)}"] if worse else []),
    ]
    judged = f"{about.primary} {own:.4g} on the hold-out: {', '.join(said) or 'no baseline'}"
    return f"{judged} ({caveat})" if caveat else judged


def _current(workload: Workload, job: Job, holdout: pd.DataFrame) -> Comparison | None:
    """The Production version on this hold-out; None, with a tag that says why, if it fails."""
    try:
        scored = job.incumbent.score(job.plan.model, workload.requests(holdout))
        if scored is None:
            return None
        metrics = score(workload, holdout, scored.answers)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the candidate
        reason = f"{type(error).__name__}: {error}"
        _log.warning("the Production version could not be scored: %s", reason)
        job.run.set_tags({"baton.current_not_scored": reason})
        return None
    return Comparison(
        version=scored.version, digest=scored.digest, series=scored.series, metrics=metrics
    )
