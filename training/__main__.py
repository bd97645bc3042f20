"""Commands that train and score: run, fleet, score, list."""

from __future__ import annotations

import logging
import os
import warnings

import click

from training.commands.fleet import fleet_command
from training.commands.run import run_command
from training.commands.score import score_command
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
      python -m training fleet --workload petr4 --series-file training/data/samples/fleet.txt
      python -m training score iris --input flowers.parquet --output scored/
      python -m training list
    """
    quieten()


main.add_command(run_command)
main.add_command(fleet_command)
main.add_command(score_command)
main.add_command(list_command)


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
