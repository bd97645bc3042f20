"""Do the jobs that were asked for over HTTP: `python -m training worker`.

The other two commands are its own: `job` is the process of one, `end-run` marks the run of one that
was killed.
"""

from __future__ import annotations

import signal

import click

from registry import log
from registry.console import exits
from registry.settings import Settings
from registry.stop import Stop


@click.command("worker")
@exits
def worker_command() -> None:
    """Do jobs from the queue (BATON_JOBS_URL), one at a time, until SIGTERM.

    Start several, here or on other machines, to do several at once. A job that is not done when
    its worker is told to stop goes back into the queue.

    Exit codes: 2 a setting cannot be used, 4 the queue is out of reach at the start.
    """
    from registry.sql_jobs import SqlJobs  # noqa: PLC0415 - slow, and --help needs none of it
    from training.jobs.worker import Worker  # noqa: PLC0415 - as above

    settings = Settings.read()
    log.to_json(settings.log_level)
    stop = Stop.on(signal.SIGTERM, signal.SIGINT)
    Worker(SqlJobs(settings.jobs_url), most_running=settings.jobs_at_once).run(stop)


@click.command("job", hidden=True)
@click.argument("descriptor", type=int)
def job_command(descriptor: int) -> None:
    """Be the process of a job; its worker listens at DESCRIPTOR."""
    from training.jobs.task import main  # noqa: PLC0415 - as above

    raise SystemExit(main(descriptor))


@click.command("end-run", hidden=True)
@click.argument("run_id")
@click.argument("status", type=click.Choice(["KILLED", "FAILED"]))
@exits
def end_run_command(run_id: str, status: str) -> None:
    """Mark a run that nobody works on any more."""
    from training.jobs.earlier import end_run  # noqa: PLC0415 - as above

    end_run(Settings.read(), run_id, status)
