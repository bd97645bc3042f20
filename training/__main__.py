"""Commands that train, and that say what was trained; each is a file in commands/."""

from __future__ import annotations

import logging
import os
import warnings

import click

from training.commands.accuracy import accuracy_command
from training.commands.actuals import actuals_command
from training.commands.fleet import fleet_command
from training.commands.monitor import monitor_command, report_command
from training.commands.package import package_command
from training.commands.reproduce import reproduce_command
from training.commands.run import run_command
from training.commands.runs import runs_command
from training.commands.score import score_command
from training.commands.search import search_command
from training.commands.steps import begin_command, resume_command, step_command
from training.commands.worker import end_run_command, job_command, worker_command
from training.commands.workloads import list_command

_CHATTY = (
    "absl",
    "alembic",
    "git",
    "matplotlib",
    "mlflow",
    "skl2onnx",
    "tensorflow",
    "tf2onnx",
    "urllib3",
    "yfinance",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train a workload and register what comes of it as a version.

    \b
    Examples:
      python -m training run                      petr4 on the bundled USD/BRL series
      python -m training run iris --json
      python -m training run petr4 --series peyton_manning --param holdout_days=60
      python -m training run petr4 --source yahoo --series PETR4.SA
      python -m training run petr4 --file prices.csv --param growth=flat
      python -m training run churn.toml --file churn.csv      your own configuration and data
      python -m training run eye_disease --file pictures/
      python -m training search iris --trials 30  parameters first
      python -m training resume RUN_ID            go on where it failed or was killed
      python -m training reproduce RUN_ID         the same numbers again?
      python -m training runs --since 2026-11-01
      python -m training fleet --workload petr4 --series-file training/data/samples/fleet.txt
      python -m training score iris --input flowers.parquet --output scored/
      python -m training list
      python -m training package churn 7          somebody's scikit-learn or Keras model, as ONNX
      python -m training worker                   do the jobs that were asked for over HTTP
      python -m training actuals                  what came true of forecasts
      python -m training accuracy iris --days 7   how right were the answers?
      python -m training monitor                  windows, drift and alerts of what is predicted
      python -m training report iris --days 7
    """
    quieten()


main.add_command(run_command)
main.add_command(begin_command)
main.add_command(step_command)
main.add_command(resume_command)
main.add_command(reproduce_command)
main.add_command(runs_command)
main.add_command(search_command)
main.add_command(fleet_command)
main.add_command(score_command)
main.add_command(list_command)
main.add_command(package_command)
main.add_command(worker_command)
main.add_command(monitor_command)
main.add_command(report_command)
main.add_command(job_command)
main.add_command(end_run_command)
main.add_command(actuals_command)
main.add_command(accuracy_command)


def quieten() -> None:
    """Keep the libraries' chatter off the terminal of this command."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow configures its own logger when it is imported, at this level.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    main()
