"""Starting, watching and ending the process in which a version's code may run.

It gets a copy of the version to read, one directory to write to, none of this process's secrets and
an empty home. What comes out of it was written by code that nobody knows: it is data, looked at and
copied file by file, never run here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.bundle import refuse_links
from registry.errors import BundleInvalid, NotPackaged
from registry.metadata import read_json
from registry.process import bare_environment

ROOT = Path(__file__).resolve().parents[2]
ANSWER = "answer.json"
GRAPH = "model.onnx"
_LAST_WORDS = 400
_STOP_SECONDS = 5.0
# MLflow's own switch: who forbids it to unpickle is heard here too.
_PICKLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """The limits, and the interpreter that has the libraries."""

    python: Path
    seconds: float
    memory_mb: int

    def run(self, flavour: str, version: Path, room: Path) -> Mapping[str, Any]:
        """What the process said of the conversion of `version`; its graph is below `room`.

        `room` is empty. Raises NotPackaged with the reason if it was not converted, whatever the
        process did.
        """
        for name in ("home", "tmp", "out"):
            (room / name).mkdir(parents=True)
        words = room.with_name(f"{room.name}.log")
        with words.open("wb") as log:
            code = self._ended(flavour, version, room, log)
        if code is None:
            raise NotPackaged(
                f"not converted within {self.seconds:g} s (BATON_PACKAGE_SECONDS): stopped"
            )
        if code:
            how = f"signal {-code}" if code < 0 else f"exit {code}"
            raise NotPackaged(f"it crashed ({how}) while it was converted: {_last_words(words)}")
        said = answer_in(room / "out")
        if not said["ok"]:
            raise NotPackaged(str(said["reason"]))
        return said

    def _ended(self, flavour: str, version: Path, room: Path, log: Any) -> int | None:
        """The exit code of the process; None if it had to be stopped."""
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [
                str(self.python),
                "-P",
                "-m",
                "training.packaging",
                flavour,
                "--version",
                str(version.resolve()),
                "--room",
                str(room),
                "--memory-mb",
                str(self.memory_mb),
            ],
            cwd=room,
            env=_environment(room),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            return process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def _environment(room: Path) -> dict[str, str]:
    """Paths and numerical settings, and nothing else of ours."""
    allowed = {_PICKLE: os.environ[_PICKLE]} if _PICKLE in os.environ else {}
    return {
        **bare_environment(),
        **allowed,
        "HOME": str(room / "home"),
        "TMPDIR": str(room / "tmp"),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """See that it is gone, and what is left of its group.

    SIGTERM first: the outer process then ends the namespace with all that is in it.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)


def answer_in(out: Path) -> Mapping[str, Any]:
    """What the process wrote last, in the form it should have."""
    try:
        refuse_links(out)
        said = read_json(out / ANSWER)
    except (BundleInvalid, OSError) as error:
        raise NotPackaged(f"what came of its conversion cannot be read: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get("ok"), bool):
        raise NotPackaged("it ended without an answer while it was converted")
    if not said["ok"] and not isinstance(said.get("reason"), str):
        raise NotPackaged("it ended without a reason while it was converted")
    return said


def _last_words(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_WORDS))
        return file.read().decode(errors="replace").strip() or "no last words"
