"""What has an environment of its own, as its libraries: found, and handed over to.

TensorFlow takes longer to install and to load than everything else together, so `make setup` leaves
it out, and so it does Ray. Called by the command line before it trains, and by the pipeline before
a run exists.
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
_ENVIRONMENTS = Path(__file__).resolve().parents[1] / "var" / "environments"
PYTHON = _ENVIRONMENTS / GROUP / "bin" / "python"
RAY = "ray"

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
    if missing(about):
        _become(python, arguments, execute)


def hand_over_engine(
    engine: str,
    arguments: Sequence[str],
    *,
    python: Path = _ENVIRONMENTS / RAY / "bin" / "python",
    execute: Execute = os.execv,
) -> None:
    """Become the same command where Ray is, if `engine` is ray and it is not installed here.

    Raises UsageError if it is nowhere.
    """
    if engine != RAY or importlib.util.find_spec(RAY) is not None:
        return
    _become(python, arguments, execute)
    if not python.exists():
        raise UsageError(f"--engine ray: Ray is not installed here; make setup GROUP={RAY}")


def _become(python: Path, arguments: Sequence[str], execute: Execute) -> None:
    """Execute the command there, if there is such an environment and it is not this one."""
    here = Path(sys.prefix).resolve() == python.parents[1].resolve()
    if python.exists() and not here:
        execute(str(python), [str(python), "-m", "training", *arguments])
