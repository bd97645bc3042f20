"""What the commands of all three packages share: exit codes, output for people and for machines.

With `--json`, standard output carries exactly one JSON object, on failure too. Everything else goes
to standard error. Colour only on a terminal (rich sees to that).
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec

from rich.console import Console

from registry.errors import (
    BatonError,
    LostRace,
    Refused,
    StepFailed,
    Unreachable,
    UsageError,
)

P = ParamSpec("P")

OK: Final = 0
BUG: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
UNREACHABLE: Final = 4
STEP_FAILED: Final = 5
LOST_RACE: Final = 6

# The one table from errors to exit codes; the first class that fits.
_EXIT_CODES: Final[Mapping[type[BatonError], int]] = {
    UsageError: USAGE,
    Refused: REFUSED,
    Unreachable: UNREACHABLE,
    StepFailed: STEP_FAILED,
    LostRace: LOST_RACE,
    BatonError: STEP_FAILED,
}

# No markup: what a version, a person or a library says may hold brackets of its own.
err = Console(stderr=True, highlight=False, markup=False)
out = Console(highlight=False, markup=False)


def exit_code(error: BaseException) -> int:
    """The exit code of an error; a bug is anything Baton does not raise on purpose."""
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), BUG)


def notes(error: BaseException) -> list[str]:
    """What was added to an error on its way up: what to do about it."""
    return [*getattr(error, "__notes__", ())]


def print_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def exits(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with its error's exit code and message instead of a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BatonError as error:
            if kwargs.get("as_json"):
                print_json({"error": type(error).__name__, "message": str(error)})
            err.print(f"{type(error).__name__}: {error}", style="red", markup=False, soft_wrap=True)
            for note in notes(error):
                err.print(note, soft_wrap=True)
            sys.exit(exit_code(error))

    return wrapped
