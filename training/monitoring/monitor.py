"""The monitor: reads the prediction log window by window, judges, and says what it found.

One process a registry. What is done is known by the runs in MLflow alone: windows are written in
their order, each version's once, so that the newest run says where to go on. See ADR 0029.
"""

from __future__ import annotations

import copy
import functools
import logging
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from registry import verdicts
from registry.errors import BatonError, Unreachable
from registry.predictions import PredictionLog
from training.monitoring.causes import causes
from training.monitoring.health import Nodes
from training.monitoring.live import Live
from training.monitoring.metrics import Session, of_health, of_window
from training.monitoring.page import Page
from training.monitoring.record_file import RecordFile
from training.monitoring.reference import References
from training.monitoring.rules import judge
from training.monitoring.tally import Tally
from training.monitoring.thresholds import RulesFile
from training.monitoring.verdict import State, Verdict
from training.monitoring.weekly import Weekly
from training.monitoring.window_run import WindowRun, WindowRuns, iso

# What is on its way into the log when a window ends; as long as a window, if that is shorter.
_SETTLE_SECONDS = 30.0
_LONGEST_SECONDS = 7 * 86_400.0
_RETRY_SECONDS = 30.0
_NO_VERSION = "none"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a monitor works with; without `runs` nothing goes to MLflow.

    `follow` is told what the rules say of every model after the newest window, `upkeep` is called
    with the end of each window (s since 1970).
    """

    log: PredictionLog
    references: References
    rules: RulesFile
    page: Page
    live: Live
    runs: WindowRuns | None = None
    nodes: Nodes | None = None
    weekly: Weekly | None = None
    follow: Callable[[Sequence[verdicts.Verdict]], None] | None = None
    upkeep: Sequence[Callable[[float], None]] = ()


@dataclass
class _Version:
    """What is kept of one version between windows: tallies by their beginning, and totals."""

    tallies: dict[float, Tally] = field(default_factory=dict)
    session: Session = field(default_factory=Session)
    raised: frozenset[str] = frozenset()
    written: float = 0.0


@dataclass
class _Found:
    """One version in the window that is being read."""

    window: Tally
    folder: Path
    file: RecordFile


class Monitor:
    """Writes window after window; `clock` says the time in seconds since 1970."""

    def __init__(
        self, parts: Parts, *, window_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is read yet."""
        self._parts = parts
        self._length = window_seconds
        self._settle = min(_SETTLE_SECONDS, window_seconds)
        self._clock = clock
        self._versions: dict[tuple[str, str], _Version] = {}
        self._answering: dict[str, str] = {}
        self._said: dict[str, list[Verdict]] = {}
        self._next: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop`; whatever cannot be reached is tried again, from where it failed."""
        while not stop.is_set():
            try:
                self.catch_up(stop)
                pause = self._until_due()
            except BatonError as error:
                self._parts.page.failures.inc()
                _log.warning("the window is tried again in %g s: %s", _RETRY_SECONDS, error)
                pause = _RETRY_SECONDS
            stop.wait(pause)

    def catch_up(self, stop: threading.Event | None = None) -> int:
        """Write every window that is over; how many there were. May raise Unreachable."""
        done = 0
        for since in self._due():
            if stop is not None and stop.is_set():
                break
            self._window(since, since + self._length)
            self._next = since + self._length
            done += 1
        if done:
            self._follow()
        return done

    def _follow(self) -> None:
        """Hand on what is said now; what cannot be reached is told again after the next window."""
        if self._parts.follow is None:
            return
        try:
            self._parts.follow([*causes(self._said, self._answering)])
        except BatonError as error:
            self._parts.page.failures.inc()
            _log.warning("nothing follows: %s", error)

    def _due(self) -> Iterator[float]:
        """The beginnings of the windows that are over and not written."""
        settled = self._clock() - self._settle
        since = self._begin(settled) if self._next is None else self._next
        while since + self._length <= settled:
            yield since
            since += self._length

    def _begin(self, settled: float) -> float:
        """Where to go on: at the newest window there is, which may be unfinished."""
        last = (math.floor(settled / self._length) - 1) * self._length
        newest = self._parts.runs.newest() if self._parts.runs else None
        if newest is None:
            return last
        since, length = newest
        # What other lengths were written up to is not written again.
        begun = since if length == self._length else since + length
        aligned = math.ceil(begun / self._length) * self._length
        oldest = math.floor((settled - _LONGEST_SECONDS) / self._length) * self._length
        return max(oldest, aligned)

    def _until_due(self) -> float:
        """How long nothing is to be done."""
        ends = (self._next or self._clock()) + self._length + self._settle
        return min(self._length, max(0.1, ends - self._clock()))

    def _window(self, since: float, until: float) -> None:
        asked = [model for model in self._parts.log.models(since, until) if model]
        for model in asked:
            what = f"{model}: its window of {iso(since)}"
            self._attempt(what, functools.partial(self._model, model, since, until))
        for model in self._answering.keys() - {*asked}:
            self._show(model, self._judged(model, self._answering[model], until))
        self._forget()
        if self._parts.weekly:
            self._attempt("the report", functools.partial(self._parts.weekly.written, until))
        for work in self._parts.upkeep:
            self._attempt("upkeep", functools.partial(work, until))
        self._parts.page.window_end.set(until)

    def _attempt(self, what: str, do: Callable[[], None]) -> None:
        """Do one thing; what MLflow refuses is left out, so that it holds up nothing else."""
        try:
            do()
        except Unreachable:
            raise
        except BatonError as error:
            self._parts.page.failures.inc()
            _log.error("%s is left out: %s", what, error)

    def _model(self, model: str, since: float, until: float) -> None:
        """One model's window: a run for each version that answered."""
        with tempfile.TemporaryDirectory(prefix="baton-window-") as scratch:
            found = self._read(model, since, until, Path(scratch))
            latest = max(found, key=lambda version: found[version].window.last, default="")
            for version, one in found.items():
                if (model, version) not in self._versions:
                    self._versions[model, version] = self._earlier(model, version, since)
                self._versions[model, version].tallies[since] = one.window
                verdicts = self._judged(model, version, until)
                self._write(model, version, one, verdicts)
                if version == latest:
                    self._answering[model] = latest
                    self._show(model, verdicts)

    def _earlier(self, model: str, version: str, until: float) -> _Version:
        """A version as if its windows had been seen: rules look back further than one of them."""
        made = _Version()
        since = until - self._parts.rules.of(model).span_seconds
        asked = version if version != _NO_VERSION else None
        for record in self._parts.log.predictions(model, since, until, version=asked):
            if (record.version or _NO_VERSION) != version:
                continue
            begun = math.floor(record.time / self._length) * self._length
            if begun not in made.tallies:
                made.tallies[begun] = self._tally(model, version, begun, begun + self._length)
            made.tallies[begun].add(record)
        return made

    def _forget(self) -> None:
        """Drop versions that nothing was asked of for so long that no rule looks at it."""
        for (model, version), kept in [*self._versions.items()]:
            if not kept.tallies and self._answering.get(model) != version:
                del self._versions[model, version]

    def _read(self, model: str, since: float, until: float, scratch: Path) -> dict[str, _Found]:
        """Every record of a window: counted, and written to a file a version."""
        found: dict[str, _Found] = {}
        with ExitStack() as files:
            for record in self._parts.log.predictions(model, since, until):
                version = record.version or _NO_VERSION
                if version not in found:
                    folder = scratch / str(len(found))
                    folder.mkdir()
                    file = files.enter_context(RecordFile.opened(folder / "predictions.parquet"))
                    found[version] = _Found(self._tally(model, version, since, until), folder, file)
                found[version].window.add(record)
                found[version].file.add(record)
        return found

    def _tally(self, model: str, version: str, since: float, until: float) -> Tally:
        return Tally(
            reference=self._parts.references.of(model, version),
            since=since,
            until=until,
            baseline=self._parts.rules.of(model).baseline,
        )

    def _judged(self, model: str, version: str, until: float) -> list[Verdict]:
        """All verdicts on a version, on what it answered in the span before `until`."""
        limits = self._parts.rules.of(model)
        kept = self._versions[model, version]
        reference = self._parts.references.of(model, version)
        since = until - limits.span_seconds
        for begun in [one for one, tally in kept.tallies.items() if tally.until <= since]:
            del kept.tallies[begun]
        empty = self._tally(model, version, since, until)
        seen = Tally.of([empty, *kept.tallies.values()])
        return [
            *judge(seen, limits),
            *self._parts.live.verdicts(model, version, reference, limits, until),
        ]

    def _write(self, model: str, version: str, found: _Found, verdicts: list[Verdict]) -> None:
        """The run, and what is kept once it is written."""
        kept, limits = self._versions[model, version], self._parts.rules.of(model)
        session = copy.deepcopy(kept.session)
        session.add(found.window, verdicts)
        metrics = of_window(found.window, verdicts, session, limits)
        if self._parts.nodes:
            metrics |= of_health(self._parts.nodes.look(model), session)
        if self._parts.runs:
            self._parts.runs.write(
                WindowRun(
                    model=model,
                    version=version,
                    window=found.window,
                    metrics=metrics,
                    verdicts=verdicts,
                    folder=found.folder,
                )
            )
        if found.window.since >= kept.written:  # not after a failure of another version
            kept.session, kept.written = session, found.window.until
        self._tell(model, version, verdicts)

    def _tell(self, model: str, version: str, verdicts: list[Verdict]) -> None:
        """Log what is raised now and was not before."""
        kept = self._versions[model, version]
        raised = {verdict.name: verdict for verdict in verdicts if verdict.state is State.RAISED}
        for name in raised.keys() - kept.raised:
            extra = {"model": model, "version": version, "rule": name}
            _log.warning("%s v%s: %s", model, version, raised[name], extra=extra)
        kept.raised = frozenset(raised)

    def _show(self, model: str, verdicts: list[Verdict]) -> None:
        self._said[model] = verdicts
        tallies = self._versions[model, self._answering[model]].tallies.values()
        sure = [c for tally in tallies for c in tally.confidences]
        confidence = float(np.mean(sure)) if sure else None
        self._parts.page.show(model, verdicts, confidence=confidence)
        self._parts.live.show(model, self._answering[model], self._parts.page)
