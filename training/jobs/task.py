"""What a job's process does: read what is asked for, do it, tell the worker what came of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Final, Self

from registry.errors import BatonError
from registry.jobs import JobKind
from registry.settings import Settings
from training.jobs.channel import Channel

INTERRUPTED: Final = 130
COMMAND: Final = "job"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A job, as the worker wrote it onto our standard input."""

    job: str
    attempt: int
    kind: JobKind
    body: Mapping[str, Any]

    @classmethod
    def read(cls) -> Self:
        """Read it from the start: this may be the second program of this process."""
        os.lseek(sys.stdin.fileno(), 0, os.SEEK_SET)
        found = json.load(sys.stdin)
        return cls(**{**found, "kind": JobKind(found["kind"])})

    @property
    def tags(self) -> Mapping[str, str]:
        """What the job's run carries."""
        return {"baton.job_id": self.job, "baton.job_attempt": str(self.attempt)}


Work = Callable[[Asked, Channel, Settings], Mapping[str, Any]]


def main(descriptor: int) -> int:
    """Do the job that stands in our standard input; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.set_inheritable(descriptor, True)
    channel = Channel.of(descriptor)
    try:
        asked = Asked.read()
        with redirect_stdout(sys.stderr):
            channel.tell(finished=_work(asked.kind)(asked, channel, Settings.read()))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BatonError as error:
        channel.tell(failed=f"{type(error).__name__}: {error}")
        return 1
    except Exception as error:  # noqa: BLE001 - it is told, and stands in the log
        traceback.print_exc()
        channel.tell(failed=f"{type(error).__name__}: {error}")
        return 1
    return 0


def _work(kind: JobKind) -> Work:
    """What is done for a kind of job."""
    if kind is JobKind.CUSTOM:
        from training.jobs.custom import custom  # noqa: PLC0415 - only one of both is needed

        return custom
    from training.jobs.train import train  # noqa: PLC0415 - as above

    return train
