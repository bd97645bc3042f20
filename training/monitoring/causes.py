"""What the rules say, as far as it decides what follows: see training/following. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from registry import verdicts
from training.monitoring.verdict import Verdict

_TRUTH = ("accuracy", "error_drift")
# No training makes a model quicker.
_NO_CAUSE = ("inference_time",)


def causes(
    said: Mapping[str, Sequence[Verdict]], answering: Mapping[str, str]
) -> Iterator[verdicts.Verdict]:
    """Of every model's verdicts on the version that answers; none where no version does."""
    for model, found in said.items():
        for verdict in found:
            if answering[model].isdecimal() and verdict.rule not in _NO_CAUSE:
                yield verdicts.Verdict(
                    model=model,
                    version=int(answering[model]),
                    rule=verdict.name,
                    state=verdicts.VerdictState(verdict.state),
                    window_end=verdict.until,
                    about=_about(verdict),
                )


def _about(verdict: Verdict) -> verdicts.About:
    return verdicts.About.ACCURACY if verdict.rule in _TRUTH else verdicts.About.DRIFT
