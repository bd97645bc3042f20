"""Workloads whose libraries have an environment of their own: found, and handed over to.

TensorFlow takes longer to install and to load than everything else together, so `make setup` leaves
it out. Called by the command line before it trains, and by the pipeline before a run exists.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from registry.errors import UsageError
from training.workload import About

GROUP = "tensorflow"
PYTHON = Path(__file__).resolve().parents[1] / "var" / "environments" / GROUP / "bin" / "python"

Execute = Callable[[str, list[str]], object]


def missing(about: About) -> tuple[str, ...]:
    """The modules that the workload needs and this environment does not have."""
    return absent(about.needs)


def absent(names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that this environment does not have."""
    return tuple(name for name in names if importlib.util.find_spec(name) is None)


def require(about: About) -> None:
    """Raise UsageError, saying what to do, where a module is missing."""
    if names := missing(about):
        raise UsageError(
            f"workload {about.name}: needs {', '.join(names)}, not installed here; "
            f"make setup GROUP={GROUP}"
        )


def hand_over(
    about: About,
    arguments: Sequence[str],
    *,
    python: Path = PYTHON,
    execute: Execute = os.execv,
) -> None:
    """Become `python -m training ARGUMENTS` in the environment that has what is missing here.

    Returns if nothing is missing, or if there is no such environment but this one.
    """
    here = Path(sys.prefix).resolve() == python.parents[1].resolve()
    if missing(about) and python.exists() and not here:
        execute(str(python), [str(python), "-m", "training", *arguments])
