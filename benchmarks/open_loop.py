"""An open loop at high rates: requests are due at their times, whatever became of earlier ones.

Leaner than `load.py`, whose client holds every answer against the right one: this one notes the
status, and whether a refusal says when to come again. Rates come in phases. The sending is done by
a process of its own (`open_client.py`).
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from benchmarks.node import ROOT, CommandFailed

GIVEN_UP = -1
# Times are of `time.monotonic()`; status 0: the connection broke, or no answer ever came.
ROW = np.dtype(
    [
        ("phase", "<i4"),
        ("status", "<i4"),
        ("retry", "<i4"),
        ("due", "<f8"),
        ("begun", "<f8"),
        ("ended", "<f8"),
    ]
)
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Phase:
    """So many requests a second for so long; none if the rate is 0."""

    rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to send; `bodies` is a file with a request a line, `record` gets the rows.

    The connections are spread evenly over all `workers`, by their `X-Worker`.
    """

    port: int
    path: str
    bodies: str
    connections: int
    workers: int
    phases: Sequence[Phase]
    record: str

    @classmethod
    def read(cls, text: str) -> Self:
        """The reverse of its JSON."""
        given = json.loads(text)
        return cls(**{**given, "phases": [Phase(**one) for one in given["phases"]]})


@dataclass(frozen=True)
class Sent:
    """What became of an order: its rows, when its first phase began, how even it was spread."""

    rows: Any
    begun: float
    connections: Sequence[int]
    cpu_seconds: float


def run(order: Order) -> Sent:
    """Have a process of its own send an order; raises CommandFailed if that does not end well.

    `order.record` is where its rows are left.
    """
    seconds = sum(phase.seconds for phase in order.phases)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.open_client"],
        cwd=ROOT,
        input=json.dumps(dataclasses.asdict(order)),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + _PATIENCE_SECONDS,
    )
    if done.returncode:
        raise CommandFailed(f"open loop: exit {done.returncode}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    rows = np.fromfile(order.record, dtype=ROW)
    return Sent(rows, told["begun"], told["connections"], told["cpu_seconds"])
