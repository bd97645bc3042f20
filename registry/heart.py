"""The registrar's heart: a file that says when the ledger last answered it about its lease.

    python -m registry.heart        exit 0 if that was lately, 1 and why if not

That is the health check of a registrar's container. It beats while the registrar works, however
long it judges, and while it waits for another one that holds the lease; it stops with the process,
with the ledger, or when the two no longer meet. MLflow may be away meanwhile: starting the
registrar again would not bring it back. The file has seconds since this machine started, which
nobody sets.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.errors import BatonError
from registry.settings import Settings

# The lease is asked for every 0.75 s; PostgreSQL may take ten to be noticed as gone.
SILENCE_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Heart:
    """The file at `path`; `monotonic` is a clock that all processes of this machine share."""

    path: Path
    monotonic: Callable[[], float] = time.monotonic

    def beat(self) -> None:
        """Note that now all is well; a disk that takes nothing ends no registrar."""
        draft = self.path.with_suffix(".new")
        with suppress(OSError):
            draft.write_text(f"{self.monotonic():.3f}\n", encoding="ascii")
            os.replace(draft, self.path)  # noqa: PTH105 - whoever looks sees a whole number

    def ailment(self) -> str | None:
        """What is wrong; None if it beat lately."""
        try:
            silence = self.monotonic() - float(self.path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return f"{self.path}: no registrar has reached its ledger here yet"
        except (OSError, ValueError) as error:
            return f"{self.path}: cannot be read: {error}"
        if silence < 0:
            return f"{self.path}: is of before this machine started"
        if silence > SILENCE_SECONDS:
            return f"{self.path}: the ledger has not answered the registrar for {silence:.0f} s"
        return None

    def stop(self) -> None:
        """The registrar has ended."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def main() -> int:
    """Look at the heart of the registrar that has this BATON_HOME."""
    try:
        ailment = Heart(Settings.read().registrar_heart).ailment()
    except BatonError as error:
        ailment = str(error)
    if ailment is not None:
        sys.stderr.write(f"{ailment}\n")
    return 0 if ailment is None else 1


if __name__ == "__main__":
    sys.exit(main())
