"""A child in the trial's place that ends as no file we load could make it end.

`python -m tests.servingfakes.bad_child DIR --order FILE --report FILE`, as serving/trial.py is
started; what it does is the name of DIR.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def _segfault(_report: Path) -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def _killed(_report: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _says_nothing(_report: Path) -> None:
    sys.exit(0)


def _exits(_report: Path) -> None:
    sys.exit("the model wanted to leave")


def _hangs(_report: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def _half_a_report(report: Path) -> None:
    report.write_text('{"ok": tr', encoding="utf-8")


def _another_form(report: Path) -> None:
    report.write_text(json.dumps({"ok": True, "weight": 1}), encoding="utf-8")


def _finds_no_time_left(report: Path) -> None:
    """As a good version does where requests take all of the machine."""
    if os.sched_getscheduler(0) == os.SCHED_IDLE:
        time.sleep(60)
    report.write_text(json.dumps({"ok": True, "latency_ms": float(os.nice(0))}))


BEHAVIOURS: Mapping[str, Callable[[Path], None]] = {
    name.removeprefix("_"): does
    for name, does in list(globals().items())
    if callable(does) and name.startswith("_") and not name.startswith("__")
}


def main(arguments: Sequence[str]) -> int:
    """Do it; 0 if this process survives."""
    BEHAVIOURS[Path(arguments[0]).name](Path(arguments[-1]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
