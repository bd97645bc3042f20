"""One runner's process: what keeps it from loading is said beside its socket."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from registry.bundle import Bundle
from registry.errors import RunnerAway
from registry.settings import Settings
from serving.engines.runner import RunnerEngine, failed, socket_of
from serving.runner.host import Children
from serving.stored import root_of
from tests.servingfakes.pyfuncs import scripted
from tests.servingfakes.versions import store

BAD: Mapping[str, tuple[dict[str, Any], int, str]] = {
    "code that raises": ({"load": "raise OSError('no such device')"}, 5, "no such device"),
    "a module that is not here": ({"load": "import xgboost_of_theirs"}, 5, "xgboost_of_theirs"),
    "a hang": ({"load": "import time; time.sleep(600)"}, -14, "took too long"),
    "a hang that lets nobody else run": (
        {"load": "import re; re.match('(a+)+$', 'a' * 40 + 'b')"},
        -14,
        "took too long",
    ),
    "a crash": ({"load": "import ctypes; ctypes.string_at(0)"}, -11, "crashed (signal 11)"),
    "an exit": ({"load": "import os; os._exit(0)"}, 0, "ended (exit 0)"),
    "20 GB": ({"load": "import numpy; numpy.ones(20 << 27)"}, 5, "BATON_RUNNER_MEMORY_MB"),
    "NaN": ({"predict": "return table['x'] * float('nan')"}, 5, "NaN or Infinity"),
}


def children(tmp_path: Path, **changed: Any) -> Children:
    settings = dataclasses.replace(Settings(home=tmp_path / "var").resolved(), **changed)
    socket_of(settings.node_dir, "").parent.mkdir(parents=True)
    return Children(settings)


@pytest.mark.parametrize(("how", "code", "reason"), BAD.values(), ids=BAD)
def test_a_version_that_cannot_be_loaded_says_why(
    tmp_path: Path, how: dict[str, Any], code: int, reason: str
) -> None:
    made = children(tmp_path, ready_seconds=6 if code == -signal.SIGALRM else 60)
    digest = store(made.settings.store_dir, scripted(tmp_path / "v", **how))
    process = made.start(digest, 0)
    assert process.wait() == code
    made.ended(digest, code)
    path = socket_of(made.settings.node_dir, digest)
    bundle = Bundle.open(root_of(made.settings.store_dir, digest))
    engine = RunnerEngine.load(bundle, path, seconds=1, patience_seconds=30)
    with pytest.raises(RunnerAway) as away:
        engine.run({})
    assert reason in str(away.value)
    made.forget(digest)
    assert list(path.parent.iterdir()) == []


def test_bytes_that_changed_in_the_store_are_never_executed(tmp_path: Path) -> None:
    made = children(tmp_path)
    marker = tmp_path / "it ran"
    digest = store(made.settings.store_dir, scripted(tmp_path / "v"))
    [code] = root_of(made.settings.store_dir, digest).glob("code/*.py")
    code.write_text(f"open({str(marker)!r}, 'w')")
    assert made.start(digest, 0).wait() == 5
    path = socket_of(made.settings.node_dir, digest)
    assert "expected sha256" in failed(path).read_text()
    assert not marker.exists()


def test_a_runner_loads_nicely_and_answers_like_the_workers(tmp_path: Path) -> None:
    made = children(tmp_path)
    digest = store(made.settings.store_dir, scripted(tmp_path / "v"))
    process = cast("subprocess.Popen[bytes]", made.start(digest, 10))
    try:
        path = socket_of(made.settings.node_dir, digest)
        bundle = Bundle.open(root_of(made.settings.store_dir, digest))
        RunnerEngine.load(bundle, path, seconds=1, patience_seconds=30)
        tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
        nice = {int(task.name): _nice(task) for task in tasks}
        assert nice.pop(process.pid) == 10
        assert list(nice.values()).count(0) >= 2
    finally:
        process.kill()
        process.wait()


def _nice(task: Path) -> int:
    return int((task / "stat").read_text().rpartition(")")[2].split()[16])
