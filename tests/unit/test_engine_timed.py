"""The stopwatch around an engine: times a run, and changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from serving.engines.timed import Timed


class Sleeper:
    """Takes as long as it is told."""

    inputs = ("X",)

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        time.sleep(inputs["seconds"])
        if inputs["seconds"] > 0.02:
            raise ValueError("too long")
        return inputs


def test_a_run_is_timed_by_thread_and_answers_as_the_engine_does() -> None:
    engine = Timed(Sleeper())
    assert engine.inputs == ("X",)
    assert engine.seconds == 0.0
    assert engine.run({"seconds": 0.01}) == {"seconds": 0.01}
    once = engine.seconds
    assert 0.01 <= once < 5.0
    engine.run({"seconds": 0.01})
    assert once + 0.01 <= engine.seconds < 5.0
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.append(engine.seconds))
    thread.start()
    thread.join()
    assert seen == [0.0]


def test_a_run_that_fails_is_timed_too() -> None:
    engine = Timed(Sleeper())
    with pytest.raises(ValueError, match="too long"):
        engine.run({"seconds": 0.03})
    assert engine.seconds >= 0.03


def test_what_the_engine_does_not_have_is_missing_here_too() -> None:
    assert not hasattr(Timed(Sleeper()), "calendar")
