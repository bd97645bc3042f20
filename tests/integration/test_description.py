"""Requests that a generator makes of the description of a real server: none is a server error.

`BATON_TEST_CASES` is how many; a few hundred in CI, thousands at night.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.missing import ServiceMissing
from tests.servingfakes.front import serving_front
from tests.servingfakes.node import ROOT, Node

PROGRAM = ROOT / "var" / "environments" / "clients" / "bin" / "schemathesis"
CASES = int(os.environ.get("BATON_TEST_CASES", "500"))
OPERATIONS = 30


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with serving_front(tmp_path_factory.mktemp("described")) as node:
        yield node


@pytest.mark.timeout(120 + CASES)
def test_no_request_is_a_server_error(
    node: Node, tmp_path: Path, say: Callable[[str], None]
) -> None:
    if not PROGRAM.is_file():
        ServiceMissing(f"{PROGRAM.relative_to(ROOT)} is not there; make clients").skip_or_fail()
    done = subprocess.run(
        [
            PROGRAM,
            *("run", f"http://127.0.0.1:{node.port}/openapi.json"),
            *("--checks", "not_a_server_error"),
            *("--max-examples", str(max(1, CASES // OPERATIONS))),
            *("--seed", "1", "--no-color"),
        ],
        cwd=tmp_path,  # it keeps notes there
        capture_output=True,
        text=True,
        timeout=100 + CASES,
        check=False,
    )
    found = re.findall(r"(\d+) generated", done.stdout)
    assert (done.returncode, bool(found)) == (0, True), done.stdout[-4000:] + done.stderr[-2000:]
    say(f"{found[-1]} generated requests: no server error")
    assert int(found[-1]) >= min(CASES, 300)
    assert '"a route failed"' not in node.log()
