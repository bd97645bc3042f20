"""What a monitor's rule says of a version: as far as it decides what follows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VerdictState(StrEnum):
    """What a rule can say; UNKNOWN, for want of samples, is never FINE."""

    FINE = "fine"
    RAISED = "raised"
    UNKNOWN = "unknown"


class About(StrEnum):
    """What the rule looked at: what is asked and answered, or what came true."""

    DRIFT = "drift"
    ACCURACY = "accuracy"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One rule's word on one version; `window_end` is in seconds since 1970."""

    model: str
    version: int
    rule: str
    state: VerdictState
    window_end: float
    about: About = About.DRIFT
