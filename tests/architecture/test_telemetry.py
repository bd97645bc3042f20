"""Nobody is told what is served here: ONNX Runtime's report of each loaded model is off.

It keeps a thread for its reports, from import on, so that they are seen without a network.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servingfakes.node import ROOT

_COUNT = "; import os; print(len(os.listdir('/proc/self/task')))"
# The last two keep other threads, and ONNX Runtime itself, from hiding what is looked for.
_UNSET = ("ORT_DISABLE_TELEMETRY", "CI", "ORT_RUNNING_UNIT_TESTS")


def threads_after(imports: str) -> int:
    """How many threads a process has once it imported that, on a machine that is no CI."""
    environ = {name: value for name, value in os.environ.items() if name not in _UNSET}
    for name in list(environ):
        if name.startswith("GITHUB_") or name.endswith("_CI"):
            del environ[name]
    done = subprocess.run(
        [sys.executable, "-c", imports + _COUNT],
        cwd=ROOT,
        env={**environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


def test_onnxruntime_alone_would_report() -> None:
    assert threads_after("import onnxruntime") > 1, "else the tests below show nothing any more"


@pytest.mark.parametrize(
    "imports",
    [
        "import serving.engines.onnx",
        "from registry.manners import mind_manners; mind_manners(); import onnxruntime",
    ],
)
def test_a_process_of_ours_does_not(imports: str) -> None:
    assert threads_after(imports) == 1
