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
from collections.abc import Callable, Mapping
from pathlib import Path


def _segfault() -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _says_nothing() -> None:
    sys.exit(0)


def _exits() -> None:
    sys.exit("the model wanted to leave")


def _hangs() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def _half_a_report() -> None:
    Path(sys.argv[-1]).write_text('{"ok": tr', encoding="utf-8")


def _another_form() -> None:
    Path(sys.argv[-1]).write_text(json.dumps({"ok": True, "weight": 1}), encoding="utf-8")


def _finds_no_time_left() -> None:
    """As a good version does where requests take all of the machine."""
    if os.sched_getscheduler(0) == os.SCHED_IDLE:
        time.sleep(60)
    Path(sys.argv[-1]).write_text(json.dumps({"ok": True, "latency_ms": float(os.nice(0))}))


BEHAVIOURS: Mapping[str, Callable[[], None]] = {
    name.removeprefix("_"): does
    for name, does in list(globals().items())
    if callable(does) and name.startswith("_") and not name.startswith("__")
}

if __name__ == "__main__":
    BEHAVIOURS[Path(sys.argv[1]).name]()
