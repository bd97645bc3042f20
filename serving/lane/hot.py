"""The prediction routes, which the lane takes to `answer()` itself. Flask has the same ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from serving.protocols import Protocol
from serving.protocols.baton import Baton
from serving.protocols.mlflow import Mlflow
from serving.protocols.v2 import V2

# A name that has to be decoded is Flask's.
_NAME: Final = rb"([A-Za-z0-9._~-]+)"
_PROTOCOLS: Final[tuple[tuple[re.Pattern[bytes], Protocol], ...]] = (
    (re.compile(rb"/predict"), Baton()),
    (re.compile(rb"/models/" + _NAME + rb"/predict"), Baton()),
    (re.compile(rb"/invocations"), Mlflow()),
    (re.compile(rb"/v2/models/" + _NAME + rb"(?:/versions/" + _NAME + rb")?/infer"), V2()),
)
_UNKNOWN_SECONDS: Final = 1.0
_WEIGHT: Final = 0.1
_MOST_SECONDS: Final = 0.01


@dataclass(slots=True)
class Hot:
    """One prediction route, how long its answers took lately, and whether they share calls."""

    protocol: Protocol
    model: str | None
    version: str | None
    seconds: float = _UNKNOWN_SECONDS
    is_batched: bool = False

    def took(self, seconds: float) -> None:
        """Remember one more answer; a single slow one among quick ones changes little."""
        if self.seconds == _UNKNOWN_SECONDS:
            self.seconds = seconds
        else:
            self.seconds += (min(seconds, _MOST_SECONDS) - self.seconds) * _WEIGHT


def hot(target: bytes) -> Hot | None:
    """The prediction route of a request target; None if it is none."""
    for pattern, protocol in _PROTOCOLS:
        if found := pattern.fullmatch(target):
            model, version = (*found.groups(), None, None)[:2]
            return Hot(
                protocol, model.decode() if model else None, version.decode() if version else None
            )
    return None
