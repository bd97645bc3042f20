"""Trying a version out in a throw-away process: the port, and the launcher of that process.

The process is `python -m serving.trial DIR --json` (serving/trial.py): the judge and the nodes use
the same one. Whatever the version does there (crash, hang, take all memory) ends there, and comes
back as a report that is not ok, with a reason. Nothing of the version is loaded in this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol, Self

from registry.bundle import Golden, Manifest
from registry.process import bare_environment
from registry.signature import Column, Signature, Tensor
from registry.zygote import Zygote

MODULE = "serving.trial"
Run = Callable[[Sequence[str], float], CompletedProcess[bytes]]
_ROOT = Path(__file__).resolve().parents[1]
_LAST_WORDS = 400
# Requests first: a trial takes what time is left, for so long of its time; then a share of its own.
_IDLE_SHARE = 1 / 3
# NumPy's algebra starts a thread a processor when it is imported, and each of them spins a while.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What happened in a trial.

    `golden` are the examples it was held against, `golden_source` where they came from (`bundle`,
    `input example`, `synthetic row`), `worst_error` the largest |got − expected| over all numbers;
    `answers` belong to the extra requests. Times in milliseconds, memory in MiB: `memory_mb` is the
    most the process had, `resident_mb` what the version adds to a process that serves others.
    """

    ok: bool
    reason: str = ""
    engine: str = ""
    kind: str = ""
    golden: Golden | None = None
    golden_source: str = ""
    worst_error: float = 0.0
    load_ms: float = 0.0
    latency_ms: float = 0.0
    memory_mb: float = 0.0
    resident_mb: float = 0.0
    isolation: str = "none"
    signature: Signature | None = None
    answers: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what the process printed."""
        golden, signature = data.get("golden"), data.get("signature")
        return cls(
            **{
                **data,
                "golden": Golden.from_json(golden) if golden else None,
                "signature": _signature(signature) if signature else None,
                "answers": tuple(data.get("answers", ())),
            }
        )


_HUNG = TrialReport(ok=False, reason="hung")


class Trial(Protocol):
    """Runs a version once, away from everything else."""

    def run(
        self,
        root: Path,
        *,
        manifest: Manifest | None = None,
        requests: Sequence[Mapping[str, Any]] = (),
    ) -> TrialReport:
        """Load the version in `root`, check its golden examples, then answer `requests`."""


@dataclass(frozen=True, kw_only=True)
class SubprocessTrial:
    """The real thing: a child with a memory limit, a time limit and, where possible, no network.

    `zygote`, if there is one, makes the children; it must know `MODULE`. `module` is what the child
    runs otherwise; tests put a child there that crashes as no file could make it.
    """

    seconds: float
    memory_mb: int
    engines: tuple[str, ...]
    module: str = MODULE
    zygote: Zygote | None = None

    def run(
        self,
        root: Path,
        *,
        manifest: Manifest | None = None,
        requests: Sequence[Mapping[str, Any]] = (),
    ) -> TrialReport:
        """See `Trial.run`. Never raises for what the version does."""
        with tempfile.TemporaryDirectory(prefix="baton-trial-") as scratch:
            order = Path(scratch, "order.json")
            answer = Path(scratch, "report.json")
            order.write_text(
                json.dumps(
                    {
                        "manifest": manifest.to_json() if manifest else None,
                        "requests": list(requests),
                        "engines": self.engines,
                        "memory_mb": self.memory_mb,
                    }
                ),
                encoding="utf-8",
            )
            arguments = [str(root), "--order", str(order), "--report", str(answer)]
            ended = self._ended(self._quietly, arguments, self.seconds * _IDLE_SHARE)
            if ended is _HUNG:  # or this machine had no time to spare
                ended = self._ended(partial(self._spawned, "nice"), arguments, self.seconds)
            if ended is _HUNG:
                reason = f"hung: no answer within {self.seconds:g} s"
                return TrialReport(ok=False, reason=reason)
            return ended or _read(answer)

    def _ended(self, run: Run, arguments: Sequence[str], seconds: float) -> TrialReport | None:
        """Run the child; a report only if it could not write one itself."""
        try:
            done = run(arguments, seconds)
        except subprocess.TimeoutExpired:
            return _HUNG
        if done.returncode == 0:
            return None
        words = done.stderr.decode(errors="replace").strip()[-_LAST_WORDS:]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        return TrialReport(ok=False, reason=f"crashed ({how}): {words or 'no last words'}")

    def _quietly(self, arguments: Sequence[str], seconds: float) -> CompletedProcess[bytes]:
        """Only while nobody else wants the processor."""
        if self.zygote:
            return self.zygote.run(arguments, seconds)
        return self._spawned("idle", arguments, seconds)

    def _spawned(
        self, how: str, arguments: Sequence[str], seconds: float
    ) -> CompletedProcess[bytes]:
        run = [sys.executable, "-m", "registry.background", how]
        return subprocess.run(  # noqa: S603 - our own module, no shell
            [*run, self.module, *arguments],
            cwd=_ROOT,
            env=environment(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )


def environment() -> dict[str, str]:
    """What a trial's process sees of this one's environment."""
    return {**_ONE_THREAD, **bare_environment()}


def _read(path: Path) -> TrialReport:
    try:
        return TrialReport.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        return TrialReport(ok=False, reason=f"ended without a report: {error!r}")


def _signature(data: Mapping[str, Any]) -> Signature:
    return Signature(
        tuple(Column(**column) for column in data["columns"]),
        tuple(Tensor(t["name"], t["dtype"], tuple(t["shape"])) for t in data["tensors"]),
        tuple(data["outputs"]),
    )
