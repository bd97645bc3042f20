"""`python -m training monitor` as a service: its page answers, and it ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.node import free_port
from tests.contract.mlflow_store import embedded
from tests.servingfakes.node import ROOT

_PATIENCE_SECONDS = 120
_PLAIN = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def page(address: str) -> str:
    """What it answers; empty while it does not."""
    try:
        with _PLAIN.open(f"http://{address}/metrics", timeout=10) as reply:
            return str(reply.read(), "utf-8")
    except OSError:
        return ""


def test_it_shows_when_its_last_window_ended_and_ends_at_sigterm(tmp_path: Path) -> None:
    settings = embedded(tmp_path / "var")
    bind = f"127.0.0.1:{free_port()}"
    environ = {
        **os.environ,
        "BATON_HOME": str(settings.home),
        "BATON_MONITOR_BIND": bind,
        "BATON_WINDOW_SECONDS": "60",
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "training", "monitor"], cwd=ROOT, env=environ, stderr=out
        )
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while "baton_window_end_timestamp_seconds 1" not in page(bind):  # since 1970
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=_PATIENCE_SECONDS) == 0, log.read_text("utf-8")
    finally:
        process.kill()
        process.wait()
