"""Whether a graph gains from answering several clients' rows in one call, and up to how many.

Measured when it is packaged, on the graph as a worker asks it. Called by the step `package`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from registry.batching import Batching
from registry.rowwise import Run, is_row_wise
from training.workload import Array

Feed = Mapping[str, Array]

# To meet, requests are handed to threads and back, 0.1 to 0.2 ms each: quicker ones gain little.
LEAST_SECONDS: Final = 0.001
# Rows of a joint call wait for each other; a gain below this is not worth it.
LEAST_GAIN: Final = 2.0
# Where the gain is judged: as many requests at once as a worker sees when it is busy, not swamped.
JUDGED_ROWS: Final = 8
# Twice the rows have to make a row so much cheaper, or there are enough of them in a call.
_WORTH: Final = 1.1
# A worker has 32 threads for joint calls; further rows could only come from larger requests.
_SIZES: Final = (16, 32, 64)
_REPEATS: Final = 7


@dataclass(frozen=True)
class Measured:
    """Seconds of one call by its number of rows, and what is declared; None: no joint calls."""

    seconds: Mapping[int, float]
    batching: Batching | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `bundle.json`: the decision for machines, the figures for people."""
        declared = {"batching": self.batching.to_json()} if self.batching else {}
        figures = {str(rows): round(one * 1000, 4) for rows, one in self.seconds.items()}
        return {**declared, "call_ms": figures}


def measure(
    run: Run,
    feed: Feed,
    *,
    rtol: float,
    atol: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Time calls with rows of `feed`, and decide.

    Nothing is declared where a row's answer among others differs from its answer alone by more
    than `rtol` and `atol` (or cannot be had: a graph of one row), where one call is quicker than
    1 ms, or where 8 rows in one call do not halve the time of a row. More rows are taken in as
    long as they make a row cheaper by a tenth.
    """
    judged = _rows(feed, JUDGED_ROWS)
    seconds = {1: _seconds(run, _rows(feed, 1), clock)}
    if not is_row_wise(run, (), [judged], rtol=rtol, atol=atol):
        return Measured(seconds)
    seconds[JUDGED_ROWS] = _seconds(run, judged, clock)
    gain = JUDGED_ROWS * seconds[1] / seconds[JUDGED_ROWS]
    if seconds[1] < LEAST_SECONDS or gain < LEAST_GAIN:
        return Measured(seconds)
    most = JUDGED_ROWS
    for rows in _SIZES:
        seconds[rows] = _seconds(run, _rows(feed, rows), clock)
        if seconds[most] / most < _WORTH * seconds[rows] / rows:
            break
        most = rows
    return Measured(seconds, Batching(most))


def _seconds(run: Run, feed: Feed, clock: Callable[[], float]) -> float:
    """Median time of a call; the first one is not counted."""
    run(feed)
    times = []
    for _ in range(_REPEATS):
        begun = clock()
        run(feed)
        times.append(clock() - begun)
    return statistics.median(times)


def _rows(feed: Feed, rows: int) -> Feed:
    """So many rows, from the first on and over again."""
    return {name: np.resize(array, (rows, *array.shape[1:])) for name, array in feed.items()}
