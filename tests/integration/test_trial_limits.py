"""What a trial takes from its child, and what the launcher makes of a child that ends badly.

No file we load can make Python segfault or call sys.exit, so a stand-in child does it here; the one
real crash that a file can cause is in the table of bad versions (signal 8).
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.trial import SubprocessTrial, environment
from registry.zygote import Zygote
from tests.missing import ServiceMissing
from tests.servingfakes import models
from tests.servingfakes.bad_child import BEHAVIOURS
from tests.servingfakes.node import ROOT
from tests.servingfakes.versions import folder

ENDINGS = {
    "segfault": "crashed (signal 11): no last words",
    "killed": "crashed (signal 9): no last words",
    "exits": "crashed (exit 1): the model wanted to leave",
    "says_nothing": "ended without a report",
    "half_a_report": "ended without a report",
    "another_form": "ended without a report",
    "hangs": "hung: no answer within 2 s",
}

# Isolates itself as the trial does, then does what a model must not be able to do.
_ISOLATED = "import sys; from registry.isolation import isolate; print(isolate(2048), flush=True); "
_CONNECT = "import socket; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=20)"
_ALLOCATE = "import mmap; mmap.mmap(-1, 3 * 2**30)"  # address space, without touching it


NO_TIME = "finds_no_time_left"
CHILD = "tests.servingfakes.bad_child"


@pytest.fixture(params=["spawned", "forked"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote | None]:
    """Who makes the child: nobody (a new interpreter does), or a zygote as a node has one."""
    if request.param == "spawned":
        yield None
        return
    made = Zygote(CHILD, (), environment())
    yield made
    made.close()


def test_every_ending_of_the_stand_in_is_tried() -> None:
    assert ENDINGS.keys() | {NO_TIME} == BEHAVIOURS.keys()


def test_a_trial_takes_only_time_that_is_left_until_there_is_none_for_too_long(
    tmp_path: Path, zygote: Zygote | None
) -> None:
    """Else a node whose workers are always busy would never swap."""
    trial = SubprocessTrial(
        seconds=9, memory_mb=2048, engines=("onnx",), module=CHILD, zygote=zygote
    )
    report = trial.run(folder(tmp_path / NO_TIME, b""))
    assert (report.ok, report.latency_ms) == (True, 10.0), "nice 10, after 3 s without an end"


@pytest.mark.parametrize(("does", "reason"), ENDINGS.items(), ids=ENDINGS)
def test_a_child_that_ends_badly_is_a_report_with_a_reason(
    tmp_path: Path, does: str, reason: str, zygote: Zygote | None
) -> None:
    trial = SubprocessTrial(
        seconds=2 if does == "hangs" else 60,
        memory_mb=2048,
        engines=("onnx",),
        module=CHILD,
        zygote=zygote,
    )
    report = trial.run(folder(tmp_path / does, b""))
    assert (report.ok, reason in report.reason) == (False, True), report.reason


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a socket of this host that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _child(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_trial_cannot_reach_even_this_host(listener: int, tmp_path: Path) -> None:
    free = _child("import sys; " + _CONNECT, listener)
    assert free.returncode == 0, f"without isolation it connects: {free.stderr}"
    held = _child(_ISOLATED + _CONNECT, listener)
    trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=("onnx",))
    report = trial.run(folder(tmp_path / "v", models.linear(3)))
    assert held.stdout.strip() == report.isolation
    if report.isolation == "none":
        ServiceMissing("this kernel allows no network namespace").skip_or_fail()
    assert report.isolation == "network namespace"
    assert held.returncode != 0
    assert "Network is unreachable" in held.stderr


def test_a_trial_cannot_have_more_memory_than_its_limit() -> None:
    free = _child(_ALLOCATE)
    assert free.returncode == 0, f"without a limit there is that much: {free.stderr}"
    held = _child(_ISOLATED + _ALLOCATE)
    assert held.returncode != 0
    assert "Cannot allocate memory" in held.stderr
