"""`make bench-training`: how long whole trainings take; writes its section of `RESULTS.md`.

    python -m benchmarks.trainings --rounds 3

Each is a command, as a person types it: from the data to the registered version, in a home of its
own. And how long a job waits for its worker.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import pick_up, results
from benchmarks.node import Node
from benchmarks.results import Row, Section

_JOBS = 20
_PACKAGES = ("prophet", "mlflow", "pandas")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turns."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainings")
    parser.add_argument("--rounds", type=int, default=3, help="in which they take turns")
    parser.add_argument("--page", type=Path, default=results.PAGE, help="where the section goes")
    given = parser.parse_args(arguments)
    console = Console()
    prophet: list[float] = []
    lstm: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-training-") as scratch:
        for number in range(given.rounds):
            console.print(f"… round {number + 1} of {given.rounds}")
            node = Node(Path(scratch) / str(number))
            prophet.append(node.run("training", "run", "petr4")["seconds"])
            lstm.append(node.run("training", "run", "stock_lstm", "--series", "MSFT")["seconds"])
        console.print("… jobs")
        picked_up = pick_up.measure(Path(scratch) / "jobs", jobs=_JOBS)
    section = Section(
        "Trainings",
        shlex.join(["python", "-m", "benchmarks.trainings", *sys.argv[1:]]),
        [
            Row.of("petr4: train and backtest", prophet, unit="s", goal=20),
            Row.of("stock_lstm: train on 3,270 rows", lstm, unit="s", goal=60),
            Row.of(f"until a worker picks a job up, {_JOBS} jobs", picked_up, unit="s", goal=1),
        ],
        [
            (
                "petr4 on the bundled USD/BRL, stock_lstm on MSFT (at most 50 epochs), each "
                "with its defaults, with plots, parity, packaging and registering"
            )
        ],
        packages=_PACKAGES,
    )
    results.write(section, page=given.page)
    console.print(results.table(section))
    return 0


if __name__ == "__main__":
    sys.exit(main())
