"""A step that fails as if its disk were full; prints how the run is then, and ends as `step` does.

python -m tests.integration.failing_step STEP RUN_ID
"""

from __future__ import annotations

import json
import sys

from registry.console import exit_code
from registry.errors import BatonError
from registry.settings import Settings
from training.job import Job
from training.pipeline import take
from training.steps import STEPS
from training.tracking import Tracking
from training.workload import Workload


def full(workload: Workload, job: Job) -> None:
    """Like any step on a full disk."""
    raise OSError(28, "No space left on device")


def main(step: str, run_id: str) -> int:
    settings = Settings.read()
    try:
        take(step, run_id, settings, steps={**STEPS, step: full})
    except BatonError as error:
        run = Tracking(settings).client.get_run(run_id)
        sys.stdout.write(json.dumps([run.info.status, run.data.tags["baton.failed_step"]]))
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
