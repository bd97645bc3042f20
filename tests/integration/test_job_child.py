"""The process of a job as its worker sees it: heard, let go on, ended with all it has started."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from registry.jobs import Attempt, Claim, JobKind, JobState
from tests.servingfakes.node import ROOT, alive
from training.jobs.child import Child

CLAIM = Claim(Attempt("job-1", 2, "w"), JobKind.TRAIN, {"workload": "iris"})
BEGIN = """
import json, os, signal, subprocess, sys, time
from training.jobs.channel import Channel
from training.jobs.task import Asked
channel = Channel.of(int(sys.argv[1]))
"""


@contextmanager
def child(program: str) -> Iterator[Child]:
    """A process that does what a program says."""
    made = Child(CLAIM, [sys.executable, "-c", BEGIN + program])
    try:
        yield made
    finally:
        made.end(0.0)
        until(lambda: (made.listen(0.05), made.insist(99.0), made.exit_code is not None)[-1])
        made.close()


def until(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline


def listened(one: Child, done: Callable[[], Any]) -> None:
    until(lambda: (one.listen(0.05), done())[-1])


def test_it_reads_what_is_asked_for_and_says_what_it_does() -> None:
    program = """
asked = Asked.read()
channel.tell(step="fit", progress=0.5, run_id="r", metrics={"mae": float("nan"), "r2": 0.5})
print("one"); print("\\x1b[31mtwo\\x1b[0m\\rthree", file=sys.stderr); print("x" * 9999)
channel.tell(finished={"model": asked.body["workload"], "version": str(asked.attempt)})
"""
    with child(program) as one:
        listened(one, lambda: one.exit_code is not None)
        assert one.exit_code == 0
        assert (one.seen.step, one.seen.progress, one.seen.run_id) == ("fit", 1.0, "r")
        assert one.seen.metrics == {"mae": None, "r2": 0.5}
        assert one.seen.log == ("one", "two", "three", "x" * 500)
        assert one.told
        assert (one.told.state, one.told.model, one.told.version) == (
            JobState.FINISHED,
            "iris",
            "2",
        )


def test_it_waits_until_it_may() -> None:
    with child("channel.ask(); print('went on')") as one:
        listened(one, lambda: one.asks)
        one.listen(0.3)
        assert one.seen.log == ()
        one.go()
        listened(one, lambda: one.exit_code == 0)
        assert one.seen.log == ("went on",)


def test_only_the_last_lines_are_kept() -> None:
    with child("for n in range(200): print(n)") as one:
        listened(one, lambda: one.exit_code == 0)
        assert one.seen.log == tuple(map(str, range(150, 200)))


def test_it_ends_when_asked_and_is_killed_when_it_does_not() -> None:
    with child("print('here'); time.sleep(60)") as one:
        listened(one, lambda: one.seen.log)
        one.end(0.0)
        listened(one, lambda: one.exit_code == -15)
    with child("signal.signal(15, signal.SIG_IGN); print('here'); time.sleep(60)") as one:
        listened(one, lambda: one.seen.log)
        one.end(0.0)
        one.insist(1.0)
        one.listen(0.3)
        assert one.exit_code is None
        one.insist(5.0)
        listened(one, lambda: one.exit_code == -9)


@pytest.mark.parametrize("how", ["by itself", "when told"])
def test_what_it_has_started_ends_with_it(how: str) -> None:
    program = """
other = subprocess.Popen(["sleep", "60"])
print(other.pid)
if not json.loads(os.environ.get("STAYS", "false")): time.sleep(0.2); sys.exit(0)
time.sleep(60)
"""
    if how == "when told":
        program = 'os.environ["STAYS"] = "true"\n' + program
    with child(program) as one:
        listened(one, lambda: one.seen.log)
        grandchild = int(one.seen.log[0])
        if how == "when told":
            assert alive(grandchild)
            one.end(0.0)
        listened(one, lambda: one.exit_code is not None)
        until(lambda: not alive(grandchild))


def test_it_dies_with_its_worker() -> None:
    program = f"""
import os, sys, time
from registry.jobs import Attempt, Claim, JobKind
from training.jobs.child import Child
claim = Claim(Attempt("j", 1, "w"), JobKind.TRAIN, {{}})
stubborn = {BEGIN!r} + "signal.signal(15, signal.SIG_IGN); time.sleep(60)"
one = Child(claim, [sys.executable, "-c", stubborn])
print(one.pid, flush=True)
time.sleep(60)
"""
    worker = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout
    pid = int(worker.stdout.readline())
    assert alive(pid)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    until(lambda: not alive(pid))
