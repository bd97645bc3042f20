"""A stop that is asked for by a signal, at whatever instruction the process is just then."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable

from registry.stop import Stop

PROCESSES = 60
DEADLINE_SECONDS = 20.0


def told(make: Callable[[], threading.Event]) -> int:
    """How many of a few processes, which do nothing but look, end when they are told to."""
    moments = random.Random(5)  # noqa: S311 - only to spread them
    ended = 0
    for _ in range(PROCESSES):
        hears, says = os.pipe()
        child = os.fork()
        if not child:
            stop = make()
            signal.signal(signal.SIGTERM, lambda *_, stop=stop: stop.set())
            os.write(says, b".")
            while not stop.wait(0.0):
                pass
            os._exit(0)
        os.read(hears, 1)
        os.close(hears)
        os.close(says)
        time.sleep(moments.uniform(0, 0.01))
        os.kill(child, signal.SIGTERM)
        ended += _ends(child, 1.0 if make is threading.Event else DEADLINE_SECONDS)
        if ended == 0:
            break
    return ended


def _ends(child: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test_a_signal_may_ask_for_it_at_any_instruction() -> None:
    assert told(Stop) == PROCESSES


def test_an_event_hangs_when_it_is_set_while_it_looks_at_itself() -> None:
    """What a Stop is for; once Python's own can do it, it can go."""
    assert told(threading.Event) < PROCESSES


def test_it_is_waited_for_by_several_threads() -> None:
    stop = Stop()
    seen = [threading.Thread(target=stop.wait, args=(DEADLINE_SECONDS,)) for _ in range(3)]
    for thread in seen:
        thread.start()
    assert not stop.is_set()
    assert stop.wait(0.001) is False
    stop.set()
    for thread in seen:
        thread.join(DEADLINE_SECONDS / 2)
    assert not any(thread.is_alive() for thread in seen)
    assert stop.is_set()
    assert stop.wait() is True
