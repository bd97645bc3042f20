"""A server and its load on processors of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks import processors
from benchmarks.node import CommandFailed

ASK = "import json, os; print(json.dumps(sorted(os.sched_getaffinity(0))))"


def test_what_is_started_in_the_block_stays_on_its_processor() -> None:
    before = os.sched_getaffinity(0)
    of_server, of_load = processors.apart()
    assert of_server != of_load
    for one in (of_server, of_load):
        with processors.on(one):
            told = subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True)
        assert json.loads(told.stdout) == [one]
    assert os.sched_getaffinity(0) == before


def test_on_one_processor_nothing_can_be_apart() -> None:
    with processors.on(min(os.sched_getaffinity(0))), pytest.raises(CommandFailed):
        processors.apart()
