"""Ending with a parent, also with one that ended before it could be asked for."""

from __future__ import annotations

import os
import select
import signal
import time

import pytest

from registry.process import die_with_parent

_SECONDS = 60.0


def test_a_parent_that_ended_before_it_was_asked_for_is_noticed() -> None:
    """As when a guard is killed while its child, of idle priority, has not run at all."""
    assert _outlived_by(asked_for=True) == b""


def test_one_that_asks_too_late_and_does_not_say_for_whom_lives_on() -> None:
    """What the test above would see if nothing were done."""
    assert _outlived_by(asked_for=False) == b"alive"


def _outlived_by(*, asked_for: bool) -> bytes:
    """What a child says that asks to die with its parent after that one has ended."""
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            pid = os.getpid()
            if os.fork() == 0:
                deadline = time.monotonic() + _SECONDS
                while os.getppid() == pid and time.monotonic() < deadline:
                    time.sleep(0.001)
                die_with_parent(signal.SIGKILL, parent=pid if asked_for else None)
                os.write(tell, b"alive")
        finally:
            os._exit(0)  # neither of the two may go on with the tests
    os.waitpid(parent, 0)
    os.close(tell)
    try:
        readable, _, _ = select.select([told], (), (), _SECONDS)
        if not readable:
            pytest.fail("neither ended nor said anything")
        return os.read(told, 100)
    finally:
        os.close(told)
