"""A wall clock that can be set back while Python runs, for a child with this folder on PYTHONPATH.

It reads `CLOCK_SET_BACK`, a file with the number of seconds, at every look. Only what asks `time`
is deceived (not `datetime`, nor the file system); monotonic clocks are left alone, as the kernel
leaves them.
"""

from __future__ import annotations

import os
import time

_FILE = os.environ.get("CLOCK_SET_BACK", os.devnull)
_time_ns = time.time_ns


def _back_ns() -> int:
    with open(_FILE, "rb") as file:  # noqa: PTH123 - runs before anything else is imported
        return int(file.read() or b"0") * 1_000_000_000


time.time_ns = lambda: _time_ns() - _back_ns()
time.time = lambda: time.time_ns() / 1e9
