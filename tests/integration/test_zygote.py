"""The process that makes a node's trials: its children are as those of a new interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.processes import children, command, descendants
from registry.bundle import Manifest
from registry.trial import MODULE, SubprocessTrial, TrialReport, environment
from registry.zygote import Zygote
from tests.servingfakes import models
from tests.servingfakes.node import ROOT
from tests.servingfakes.versions import folder

ENGINES = ("onnx", "prophet", "runner")
IMPORTED = tuple(f"serving.engines.{name}" for name in ENGINES)
CHILD = "tests.servingfakes.bad_child"
DEADLINE_SECONDS = 60.0


@pytest.fixture
def trials() -> Iterator[Zygote]:
    made = Zygote(MODULE, IMPORTED, environment())
    yield made
    made.close()


@pytest.fixture
def bad() -> Iterator[Zygote]:
    made = Zygote(CHILD, (), environment())
    yield made
    made.close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not what():
        assert time.monotonic() < deadline, "in time"
        time.sleep(0.01)


def pid_of(zygote: Zygote) -> int:
    assert zygote._process
    return zygote._process.pid


def tried(path: Path, zygote: Zygote | None = None) -> TrialReport:
    trial = SubprocessTrial(seconds=60, memory_mb=2048, engines=ENGINES, zygote=zygote)
    return trial.run(path, manifest=Manifest.of(path))


def test_its_trial_reports_what_a_new_interpreter_does(tmp_path: Path, trials: Zygote) -> None:
    path = folder(tmp_path / "v", models.linear(3))
    spawned, forked = tried(path), tried(path, trials)
    assert spawned.ok, spawned.reason
    for name in ("ok", "engine", "kind", "golden", "worst_error", "isolation", "signature"):
        assert getattr(forked, name) == getattr(spawned, name), name
    # Pages it shares with the zygote count once it writes to them; what that has imported is more.
    assert abs(forked.resident_mb - spawned.resident_mb) < 32
    assert 10 < forked.memory_mb < 2048


def test_a_child_leaves_nothing_to_the_next_one(tmp_path: Path, trials: Zygote) -> None:
    """Limits and the network are given up by the child, not by the zygote."""
    path = folder(tmp_path / "v", models.linear(3))
    greedy = tried(folder(tmp_path / "w", models.greedy(20)), trials)
    assert (greedy.ok, "allocate memory" in greedy.reason) == (False, True), greedy.reason
    first, second = tried(path, trials), tried(path, trials)
    assert (first.ok, second.ok) == (True, True)
    assert first.golden == second.golden
    until(lambda: not children(pid_of(trials)))


def test_it_has_one_thread_with_every_engine_imported(tmp_path: Path, trials: Zygote) -> None:
    """Threads do not survive a fork; a lock that one of them held would never be let go."""
    assert tried(folder(tmp_path / "v", models.linear(3)), trials).ok
    assert len(list(Path(f"/proc/{pid_of(trials)}/task").iterdir())) == 1


def test_a_child_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_LEDGER_URL", "postgresql://baton:secret@db/baton")
    zygote = Zygote(CHILD, (), environment())
    zygote.start()
    try:
        seen = Path(f"/proc/{pid_of(zygote)}/environ").read_bytes()
    finally:
        zygote.close()
    assert b"secret" not in seen


def test_one_that_hangs_is_killed_and_keeps_nobody_waiting(tmp_path: Path, bad: Zygote) -> None:
    ended: list[str] = []

    def hang() -> None:
        with pytest.raises(subprocess.TimeoutExpired):
            bad.run([str(tmp_path / "hangs"), "report"], 5.0)
        ended.append("hangs")

    thread = threading.Thread(target=hang)
    thread.start()
    until(lambda: bool(bad._process and children(bad._process.pid)))
    assert bad.run([str(tmp_path / "exits"), "report"], 60).returncode == 1
    ended.append("exits")
    thread.join()
    assert ended == ["exits", "hangs"]
    until(lambda: not children(pid_of(bad)))


def test_a_killed_guard_takes_its_child_with_it(tmp_path: Path, bad: Zygote) -> None:
    ended: list[int] = []

    def hang() -> None:
        ended.append(bad.run([str(tmp_path / "hangs"), "report"], 60).returncode)

    thread = threading.Thread(target=hang)
    thread.start()
    until(lambda: bool(bad._process and len(descendants(bad._process.pid)) == 2))
    guard, child = descendants(pid_of(bad))
    os.kill(guard, signal.SIGKILL)
    thread.join(DEADLINE_SECONDS)
    assert ended == [-9]
    until(lambda: not Path(f"/proc/{child}").exists())


def test_after_it_was_killed_there_is_another(tmp_path: Path, trials: Zygote) -> None:
    path = folder(tmp_path / "v", models.linear(3))
    assert tried(path, trials).ok
    before = pid_of(trials)
    os.kill(before, signal.SIGKILL)
    assert trials._process
    trials._process.wait()
    assert tried(path, trials).ok
    assert pid_of(trials) != before


def test_it_ends_with_who_started_it_however_that_one_ends() -> None:
    script = (
        "import time; from registry.zygote import Zygote; "
        "made = Zygote('tests.servingfakes.bad_child'); made.start(); "
        "print(made._process.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout
    pid = int(owner.stdout.readline())
    until(lambda: "zygote" in command(pid))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: "zygote" not in command(pid))
