"""Converting a version that is code into one that workers can load: the port, and its launcher.

The launcher runs `python -m training package MODEL VERSION`, since only training has the libraries
that load such a version; what it makes is kept in MLflow, and a tag on the version names it.
Nothing of the version is loaded in this process. Called while a version is judged
(registry/evidence.py).
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from registry.console import UNREACHABLE
from registry.errors import BatonError, NotPackaged, Underway, Unreachable
from registry.model_version import ModelVersion

PACKAGE_TAG = "baton.package"
# MLflow's flavours that can be converted.
FLAVOURS = frozenset({"sklearn", "keras", "tensorflow"})
_ROOT = Path(__file__).resolve().parents[1]
_LAST_WORDS = 400

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A converted version: where its files are, and the digest of all of them.

    `made_from` is the digest of the bytes that were converted.
    """

    address: str
    digest: str
    made_from: str

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Self | None:
        """What a version's tag names; None if there is no tag, or none that can be read."""
        try:
            return cls.from_json(json.loads(tags[PACKAGE_TAG]))
        except (KeyError, TypeError, ValueError):
            return None

    def to_json(self) -> dict[str, str]:
        """As in the tag and as the command prints it."""
        return {"address": self.address, "digest": self.digest, "from": self.made_from}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(str(data["address"]), str(data["digest"]), str(data["from"]))


class Packager(Protocol):
    """Converts versions."""

    def package(self, version: ModelVersion) -> Package:
        """Convert it, however long that takes.

        Raises NotPackaged with the reason, Unreachable if registry or store do not answer.
        """

    def is_at_work(self, version: ModelVersion) -> bool:
        """Whether the version is being converted: then ask again later instead of waiting."""


@dataclass(frozen=True, kw_only=True)
class SubprocessPackager:
    """The real thing: a command, that ends with this process and after `seconds` at the latest.

    `module` is what is run; tests name one that is not installed.
    """

    seconds: float
    module: str = "training"

    def package(self, version: ModelVersion) -> Package:
        """See `Packager.package`."""
        run = [sys.executable, "-m", "registry.background", "nice", self.module]
        try:
            done = subprocess.run(  # noqa: S603 - our own module, no shell
                [*run, "package", version.name, str(version.version), "--json"],
                env={**os.environ, "PYTHONPATH": _path()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotPackaged(f"{version}: not converted within {self.seconds:g} s") from error
        said = _said(done.stdout)
        if done.returncode == 0 and said and "address" in said:
            return Package.from_json(said)
        last = done.stderr.strip().rpartition("\n")[2][-_LAST_WORDS:] or "no last words"
        reason = (
            str(said["message"])
            if said and "message" in said
            else f"`python -m {self.module} package` ended with {done.returncode}: {last}. It "
            "needs the packages of training where versions are judged: make setup GROUP=training"
        )
        raise (Unreachable if done.returncode == UNREACHABLE else NotPackaged)(reason)

    def is_at_work(self, version: ModelVersion) -> bool:  # noqa: ARG002 - the port's
        """Never: `package` waits."""
        return False


@dataclass
class BackgroundPackager:
    """Lets `packager` work beside its caller, who has other models to look after; one at a time.

    The first call of `package` begins and raises Underway; once that has ended, which `ring` tells,
    another one hands out the package, or raises why there is none.
    """

    packager: Packager
    ring: Callable[[], object]
    _jobs: dict[tuple[str, int, int], _Job] = field(default_factory=dict)
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def package(self, version: ModelVersion) -> Package:
        """See `Packager.package`; raises Underway while it is not done."""
        key = (version.name, version.version, version.created_ms)
        job = self._jobs.get(key)
        if job and job.ended.is_set():
            del self._jobs[key]
            # What came of an earlier wish of somebody's is no answer to a new one.
            if job.package or job.updated_ms == version.updated_ms:
                return job.taken()
        if key not in self._jobs:
            self._begin(key, version)
        raise Underway(f"{version}: is being converted to ONNX; it is judged after that")

    def is_at_work(self, version: ModelVersion) -> bool:
        """See `Packager.is_at_work`."""
        job = self._jobs.get((version.name, version.version, version.created_ms))
        return job is not None and not job.ended.is_set()

    def _begin(self, key: tuple[str, int, int], version: ModelVersion) -> None:
        _log.info("%s: converting it to ONNX before it is judged", version)
        self._jobs[key] = job = _Job(version.updated_ms)
        thread = threading.Thread(
            target=self._work, args=[job, version], name=f"package-{version}", daemon=True
        )
        thread.start()

    def _work(self, job: _Job, version: ModelVersion) -> None:
        try:
            with self._alone:
                job.package = self.packager.package(version)
        except BatonError as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - told to whoever waits for it
            job.error = NotPackaged(f"{version}: {type(error).__name__}: {error}")
        job.ended.set()
        _log.info("%s: %s", version, job.error or "converted")
        self.ring()


@dataclass
class _Job:
    """One conversion; `updated_ms` is the version's when it began."""

    updated_ms: int
    ended: threading.Event = field(default_factory=threading.Event)
    package: Package | None = None
    error: BatonError | None = None

    def taken(self) -> Package:
        """The package, or the error raised."""
        if self.package is None:
            raise self.error or NotPackaged("no reason given")
        return self.package


def _path() -> str:
    """Where Python looks for modules: here first, wherever this process was started."""
    return os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))


def _said(text: str) -> Mapping[str, Any] | None:
    """The one JSON object of a command's standard output."""
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
