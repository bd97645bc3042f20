"""`make nightly`: what takes too long for every change; each job writes a line into `RESULTS.md`.

A job is a command: 0 is held, anything else is not. Its whole output stays in `var/nightly/`, its
last line is what the results show. To add one, add it to `JOBS`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import results
from benchmarks.node import ROOT

LOGS = ROOT / "var" / "nightly"
TITLE = "Nightly"
_MOST_WORDS = 200
_HEAD = ("job", "what", "how", "took", "said last", "at")


@dataclass(frozen=True)
class Job:
    """One command: a module and its arguments, for `python -m`; `environ` are its sizes."""

    name: str
    what: str
    command: str
    environ: Mapping[str, str] = field(default_factory=dict)


JOBS: tuple[Job, ...] = (
    Job(
        "million",
        "1,000,000 requests over 1,000 swaps: 0 failed, 0 wrong, nothing grows",
        "benchmarks.swap --only steady --requests 1000000 --swaps 1000 --rate 500",
    ),
    Job(
        "kills",
        "kill -9 of watcher, worker, trial, database at 200 random moments of swaps, behind nginx",
        "pytest -q --durations=0 tests/chaos/test_kills.py",
        {"BATON_TEST_KILLS": "200"},
    ),
    Job(
        "packages",
        "somebody's forest and Keras models of both flavours: clicked, converted, served",
        "pytest -q --durations=0 tests/integration/test_packaging.py",
        {"BATON_TEST_CLICKS": "forest,keras,tensorflow"},
    ),
    Job(
        "races",
        "200 rounds of two promoting processes, ledger in sqlite and in PostgreSQL",
        "pytest -q --durations=0 tests/contract/test_promotion_races.py",
        {"BATON_TEST_RACES": "200"},
    ),
    Job(
        "stories",
        "400 stories of whatever people do and whatever breaks, in any order",
        "pytest -q --durations=0 tests/unit/test_swap_machine.py",
        {"BATON_TEST_EXAMPLES": "400"},
    ),
    Job(
        "outage",
        "registry, database and object store away for 10 minutes, every worker restarted",
        "pytest -q --durations=0 tests/chaos/test_outage.py",
        {"BATON_TEST_OUTAGE_SECONDS": "600"},
    ),
    Job(
        "jobs",
        "20 trainings asked for over HTTP, whose workers are killed or stopped at random moments",
        "pytest -q --durations=0 tests/chaos/test_job_kills.py",
        {"BATON_TEST_JOB_KILLS": "20"},
    ),
    Job(
        "log",
        "500,000 predictions, kill -9 of workers, shipper and watcher, the log away for 10 minutes",
        "pytest -q --durations=0 tests/chaos/test_prediction_log.py",
        {
            "BATON_TEST_LOG_REQUESTS": "500000",
            "BATON_TEST_LOG_RATE": "400",
            "BATON_TEST_LOG_AWAY_SECONDS": "600",
        },
    ),
    Job(
        "described",
        "5,000 requests that a generator makes of the description: no server error",
        "pytest -q --durations=0 tests/integration/test_description.py",
        {"BATON_TEST_CASES": "5000"},
    ),
    Job(
        "airflow",
        "the DAGs of iris and petr4 in a real Airflow: a task a step, one run; a failed step again",
        "pytest -q --durations=0 tests/integration/test_airflow.py",
        {"BATON_TEST_AIRFLOW": "all", "CI": "true"},
    ),
    Job(
        "ray",
        "a fleet and a scoring over a real Ray cluster of two nodes on this machine",
        "pytest -q --durations=0 tests/integration/test_ray.py",
        {"CI": "true"},
    ),
    Job(
        "fleet",
        "500 series by one process and by two, in turns, and by a Ray cluster of two nodes",
        "benchmarks.fleet --only fleet ray",
    ),
)


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    job: Job
    code: int
    seconds: float
    last_words: str

    def line(self) -> str:
        """As one row of the results."""
        how = "held" if self.code == 0 else f"**exit {self.code}**"
        words = self.last_words.replace("|", "\\|")
        cells = (self.job.name, self.job.what, how, f"{self.seconds:.0f} s", words, results.stamp())
        return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the jobs one after the other; 1 if one of them did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly", description=__doc__)
    names = [job.name for job in JOBS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="some of them")
    parser.add_argument("--page", type=Path, default=results.PAGE, help="where the lines go")
    given = parser.parse_args(arguments)
    console = Console()
    ended = [run(job, console) for job in JOBS if not given.only or job.name in given.only]
    record(ended, page=given.page)
    for one in ended:
        console.print(one.line(), markup=False, soft_wrap=True)
    return 1 if any(one.code for one in ended) else 0


def run(job: Job, console: Console, *, logs: Path = LOGS) -> Ended:
    """Run one job to its end."""
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"{job.name}.log"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    begun = time.monotonic()
    with path.open("wb") as log, Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(f"{job.name}: {job.what}")
        command = [sys.executable, "-m", *shlex.split(job.command)]
        environ = {**os.environ, **job.environ}
        done = subprocess.run(command, cwd=ROOT, env=environ, stdout=log, stderr=log, check=False)
    said = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    words = said[-1].strip()[:_MOST_WORDS] if said else ""
    return Ended(job, done.returncode, time.monotonic() - begun, words)


def record(ended: Sequence[Ended], *, page: Path) -> None:
    """Replace the lines of these jobs; what others did last stays."""
    before = results.read(page).get(TITLE, "")
    lines = re.findall(r"^(\| ([\w-]+) \| .*)$", before, re.MULTILINE)
    kept = {name: line for line, name in lines if name != _HEAD[0]}
    kept |= {one.job.name: one.line() for one in ended}
    table = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|", *kept.values()]
    text = "\n".join(["By `make nightly`.", "", *table]) + "\n"
    results.put(TITLE, text, page=page)


if __name__ == "__main__":
    sys.exit(main())
