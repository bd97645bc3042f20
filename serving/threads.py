"""Threads that are there from the start.

`ThreadPoolExecutor` starts one whenever none is idle at that instant, until it has all it may have:
by chance, over days. A server whose threads are counted should not seem to leak them.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor


def started(count: int, name: str, *, niceness: int = 0) -> ThreadPoolExecutor:
    """A pool of `count` threads, all of them running; `niceness` is how far they give way."""
    pool = ThreadPoolExecutor(count, name, initializer=os.nice, initargs=(niceness,))
    everybody = threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(everybody.wait)
    everybody.wait()
    return pool
