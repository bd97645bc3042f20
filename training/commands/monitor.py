"""Watch what is predicted: `python -m training monitor`, and a model's days: `… report`."""

from __future__ import annotations

import dataclasses
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry import log
from registry.console import exits, out, print_json
from registry.errors import UnknownName, UsageError
from registry.settings import Settings
from registry.stop import Stop

if TYPE_CHECKING:
    from training.monitoring.monitor import Monitor
    from training.monitoring.page import Page

_DAY = 86_400.0


@click.command("monitor")
@click.option("--once", is_flag=True, help="Write the windows that are over, and end.")
@click.option("--window", type=click.FloatRange(min=1), metavar="SECONDS", help="How long one is.")
@exits
def monitor_command(*, once: bool, window: float | None) -> None:
    """Read the prediction log window by window: runs in MLflow, verdicts, metrics.

    One for all models. It goes on where the last one ended, at most a week back. Thresholds are in
    training/monitoring/rules.toml and BATON_RULES; metrics at BATON_MONITOR_BIND.

    \b
      python -m training monitor
      python -m training monitor --once --window 60

    Exit codes: 2 a setting cannot be used; with --once also 4, the log or MLflow is out of reach.
    """
    from training.monitoring.assembly import parts  # noqa: PLC0415 - slow, --help needs none of it
    from training.monitoring.monitor import Monitor  # noqa: PLC0415 - as above

    settings = Settings.read()
    if window is not None:
        settings = dataclasses.replace(settings, window_seconds=window)
    made = parts(settings)
    monitor = Monitor(made, window_seconds=settings.window_seconds)
    if once:
        out.print(f"{monitor.catch_up()} windows read")
        return
    log.to_json(settings.log_level)
    _forever(monitor, made.page, settings.monitor_bind)


@click.command("report")
@click.argument("model")
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(1, 366), help="Up to now."
)
@click.option("--output", type=click.Path(file_okay=False), help="A folder, instead of MLflow.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def report_command(*, model: str, days: int, output: str | None, as_json: bool) -> None:
    """What MODEL answered in the last days, drift included: HTML and PNG, in a run of MLflow.

    \b
      python -m training report iris
      python -m training report iris --days 30 --output report/

    Exit codes: 2 nothing was asked of such a model; 4 the log or MLflow is out of reach.
    """
    from training.monitoring import report  # noqa: PLC0415 - as above
    from training.monitoring.assembly import parts  # noqa: PLC0415 - as above

    settings = Settings.read()
    if not output and settings.mlflow_log == "off":
        raise UsageError("BATON_MLFLOW_LOG: is off, so say where to: --output FOLDER")
    made = parts(settings)
    span = (time.time() - days * _DAY, time.time())
    if output:
        found = report.made(made.log, made.references, made.rules.of(model), model, span)
        if found.days:
            found.write(Path(output))
        where = str(Path(output, "report.html")) if found.days else ""
    else:
        assert made.weekly
        where = made.weekly.write(model, span)
    if not where:
        raise UnknownName(f"model with predictions in {days} days", model, made.log.models(*span))
    if as_json:
        print_json({"model": model, "days": days, "report" if output else "run_id": where})
    else:
        out.print(where if output else f"run {where}", soft_wrap=True)


def _forever(monitor: Monitor, page: Page, bind: str) -> None:
    """Until SIGTERM or Ctrl-C, with the page of metrics beside it."""
    stop = Stop.on(signal.SIGTERM, signal.SIGINT)
    server, thread = page.serve(bind)
    monitor.run(stop)
    server.shutdown()
    thread.join(5)
