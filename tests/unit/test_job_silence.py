"""Which jobs' workers count as gone: heard of by their pulse, never by a clock."""

from __future__ import annotations

import pytest

from registry.jobs import Pulse
from training.jobs.silence import Silence

LOOK = 0.5


def silent_after(seconds: float, *, looks: float = LOOK, beats: bool = False) -> bool:
    """Whether a job is silent after so long, looked at so often."""
    silence, now, told = Silence(), 100.0, {}
    for number in range(int(seconds / looks) + 1):
        told = silence.look({"a": Pulse(1, number if beats else 1)}, now + number * looks)
    return "a" in told


def test_a_job_is_silent_after_ten_seconds_of_the_same_pulse():
    assert not silent_after(9.5)
    assert silent_after(10)


def test_a_job_that_beats_never_is():
    assert not silent_after(100, beats=True)


def test_another_attempt_is_another_pulse():
    silence = Silence()
    for tenth in range(0, 99, 5):
        assert not silence.look({"a": Pulse(1, 7)}, tenth / 10)
    assert not silence.look({"a": Pulse(2, 7)}, 10.0)
    assert not silence.look({"a": Pulse(2, 7)}, 10.5)


@pytest.mark.parametrize("away", [10.0, 3600.0])
def test_time_in_which_nobody_looked_does_not_count(away: float):
    """The database was away, or this worker was stopped: the others had no chance to be heard."""
    silence = Silence()
    silence.look({"a": Pulse(1, 1)}, 0.0)
    assert not silence.look({"a": Pulse(1, 1)}, away)
    assert not silence.look({"a": Pulse(1, 1)}, away + 8.5)
    for half in range(18):
        told = silence.look({"a": Pulse(1, 1)}, away + 9 + half / 2)
    assert told == {"a": Pulse(1, 1)}


def test_a_job_that_has_gone_and_comes_again_starts_anew():
    silence = Silence()
    for half in range(19):
        silence.look({"a": Pulse(1, 1)}, half / 2)
    silence.look({}, 9.5)
    assert not silence.look({"a": Pulse(1, 1)}, 10.0)
