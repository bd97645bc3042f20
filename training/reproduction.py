"""A run made again, and what differs: its data, its numbers, and what it was made with.

The same plan and seed, by the code and the packages that are here now, as a run of its own that
registers nothing. How good the Production version was on the same hold-out is left out: it may be
another one by now.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.client import reaching
from registry.evaluation import Evaluation
from registry.settings import Settings
from training.incumbent import Scored
from training.pipeline import run
from training.record import Record
from training.steps import STEPS
from training.steps.evaluate import flat
from training.tracking import Tracking
from training.workload import About
from training.workloads import get

REPRODUCES = "baton.reproduces"
# How far the numbers of a run and of its reproduction may be apart where Keras made them.
KERAS_TOLERANCE = 1e-6
_STEPS = ("load", "validate", "split", "fit", "evaluate")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was; either is None where it is not there at all."""

    what: str
    before: object
    now: object


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of making the run `run_id` again as the run `made`.

    `differs` are data, parameters and numbers that are not as they were; `made_with` is what may be
    why, and is no difference by itself; `caveats` are sentences.
    """

    run_id: str
    made: str
    tolerance: float
    differs: Sequence[Difference]
    made_with: Sequence[Difference]
    caveats: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json`."""
        return {**dataclasses.asdict(self), "same": not self.differs}


class _Nobody:
    """An incumbent that is not asked."""

    def score(self, model: str, requests: Sequence[Mapping[str, Any]]) -> Scored | None:
        """Nothing is compared with the version in Production."""
        del model, requests
        return None


def reproduce(
    record: Record, settings: Settings, *, on_step: Callable[[str], None] = lambda _: None
) -> Reproduction:
    """Make a run again and compare. Raises what `training.pipeline.run` does."""
    made = run(
        record.plan,
        settings,
        incumbent=_Nobody(),
        on_step=on_step,
        steps={name: STEPS[name] for name in _STEPS},
        tags={REPRODUCES: record.run_id},
    )
    tracking = Tracking(settings)
    workload = get(record.plan.workload, configuration=record.plan.configuration)
    found = compare(record, Record.of(tracking, made.run_id), about=workload.about)
    with reaching(settings.tracking_uri):
        same = str(not found.differs).lower()
        tracking.client.set_tag(made.run_id, "baton.reproduced", same)
    return found


def compare(before: Record, now: Record, *, about: About) -> Reproduction:
    """What differs between a run and its reproduction: bit for bit, but for Keras."""
    tolerance = KERAS_TOLERANCE if "keras" in about.needs else 0.0
    return Reproduction(
        run_id=before.run_id,
        made=now.run_id,
        tolerance=tolerance,
        differs=[
            *_differences(_data(before.evaluation), _data(now.evaluation)),
            *_differences(before.params, now.params),
            *_differences(_measured(before), _measured(now), tolerance=tolerance),
        ],
        made_with=[*_differences(before.made_with, now.made_with)],
        caveats=[
            f"{one.run_id} was made by code that is not all in commit {one.commit[:12]}"
            for one in (before, now)
            if one.dirty
        ],
    )


def _data(evaluation: Evaluation) -> dict[str, object]:
    """What was learnt from."""
    return {
        "data fingerprint": evaluation.data_fingerprint,
        "hold-out fingerprint": evaluation.holdout_fingerprint,
        "rows": evaluation.rows,
        "last date": evaluation.data_end,
    }


def _measured(record: Record) -> dict[str, float]:
    """The numbers, without those of the version in Production."""
    return flat(dataclasses.replace(record.evaluation, current=None))


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], *, tolerance: float = 0.0
) -> Iterator[Difference]:
    """What is in one and not in the other, or not equal."""
    for name in {**before, **now}:
        both = name in before and name in now
        if not (both and _equal(before[name], now[name], tolerance=tolerance)):
            yield Difference(name, before.get(name), now.get(name))


def _equal(before: Any, now: Any, *, tolerance: float) -> bool:
    """Numbers within the tolerance, everything else as it is."""
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=0.0, abs_tol=tolerance)
    return bool(before == now)
