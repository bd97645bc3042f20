"""Tasks are handed out a few at a time, and a lost process costs nobody but its own task."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from registry.errors import Unreachable, UsageError
from registry.settings import Settings
from tests.fakes.crew import InlineCrew
from training.crew import Processes, WorkerLost, each
from training.crews import crew_of
from training.ray_crew import knock, refuse_files


def double(number: int) -> int:
    return 2 * number


def fatal_if_negative(number: int) -> int:
    """A task over which its process ends, like one that takes all memory."""
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def threads(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"] + os.environ["STAN_NUM_THREADS"]


def test_every_task_has_its_result():
    crew = InlineCrew(double)
    assert dict(each(crew, range(50))) == {n: 2 * n for n in range(50)}


def test_no_more_is_out_than_the_crew_has_hands_and_tasks_are_made_only_then():
    made = 0

    def tasks() -> Iterator[int]:
        nonlocal made
        for number in range(1000):
            made += 1
            yield number

    crew = InlineCrew(double, size=3)
    results = each(crew, tasks())
    for _ in range(10):
        next(results)
    assert crew.most_out == 3
    assert made <= 13


def test_what_was_lost_beside_others_is_done_again_alone():
    crew = InlineCrew(double, size=3, loses={1: 1, 2: 1})
    assert dict(each(crew, range(6))) == {n: 2 * n for n in range(6)}
    assert {1, 2} <= set(crew.alone)


def test_what_loses_its_process_alone_too_is_told_and_no_other_is():
    crew = InlineCrew(double, size=2, loses={3: 2})
    results = dict(each(crew, range(8)))
    assert isinstance(results.pop(3), WorkerLost)
    assert results == {n: 2 * n for n in range(8) if n != 3}


def test_processes_outlive_one_that_is_killed_and_compute_with_one_thread_each():
    with Processes(fatal_if_negative, size=2) as crew:
        results = dict(each(crew, [1, -1, 2, 3]))
    assert isinstance(results.pop(-1), WorkerLost)
    assert results == {1: 1, 2: 2, 3: 3}
    with Processes(threads, size=1) as crew:
        assert dict(each(crew, [0])) == {0: "11"}


def test_a_crew_is_closed_at_once_only_if_something_broke_off():
    with InlineCrew(double) as calm:
        pass
    broken = InlineCrew(double)
    with pytest.raises(RuntimeError), broken:
        raise RuntimeError
    assert (calm.closed, broken.closed) == (False, True)


def test_ray_is_never_started_unless_it_is_asked_for():
    with pytest.raises(UsageError, match="set BATON_RAY_ADDRESS"):
        crew_of("ray", double, Settings().resolved(), size=None, processors=2)


def test_a_file_of_this_machine_is_refused_where_others_would_have_to_reach_it():
    here, there = Settings().resolved(), {"elsewhere"}
    refuse_files(here, {os.uname().nodename})
    with pytest.raises(UsageError, match="a sqlite file of this machine, which elsewhere cannot"):
        refuse_files(here, {os.uname().nodename, *there})
    refuse_files(
        Settings(tracking_uri="http://mlflow:5000", ledger_url="sqlite:///l").resolved(), there
    )


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("127.0.0.1:1", Unreachable, "Ray at 127.0.0.1:1: .*refused"),
        ("auto", UsageError, "expected host:port or local, got 'auto'"),
    ],
)
def test_a_cluster_is_knocked_at_before_anything_is_sent(address: str, error, told: str):
    with pytest.raises(error, match=told):
        knock(address)
