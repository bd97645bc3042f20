"""Converting one version of the registry: download, convert in the sandbox, keep, and say where.

The version's own files stay as they are. What is made becomes the artifacts of a run of its own, in
the experiment `packages`; the version's tag names it with both digests. Nothing of the version is
loaded in this process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.bundle import RUNNER, Bundle, Manifest
from registry.client import MlflowRegistry
from registry.errors import NotPackaged, UsageError
from registry.evidence import KIND_TAG
from registry.model_version import ModelVersion
from registry.packager import FLAVOURS, PACKAGE_TAG, Package
from registry.settings import Settings
from training import apart
from training.packaging.folder import write
from training.packaging.sandbox import GRAPH, Sandbox
from training.tracked_run import TrackedRun
from training.tracking import Tracking

EXPERIMENT = "packages"
_FOLDER = "version"
_KERAS = ("keras", "tensorflow", "tf2onnx")
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "sklearn": ("sklearn", "skl2onnx", "skops"),
    "keras": _KERAS,
    "tensorflow": _KERAS,
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A converted version, and what it was held against."""

    version: ModelVersion
    package: Package
    run_id: str
    rows: int
    origin: str
    largest_error: float
    isolation: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "model": self.version.name,
            "version": self.version.version,
            **self.package.to_json(),
            "run_id": self.run_id,
            "rows": self.rows,
            "origin": self.origin,
            "largest_error": self.largest_error,
            "isolation": self.isolation,
            "notes": [*self.notes],
        }


def package(settings: Settings, model: str, number: int) -> Made:
    """Convert a version and keep what comes of it.

    Raises NotPackaged with the reason, UsageError for what does not exist or is not installed,
    Unreachable.
    """
    client = MlflowRegistry(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)
    version = client.version(model, number)
    with tempfile.TemporaryDirectory(prefix="baton-package-") as scratch:
        own, room, folder = (Path(scratch, name) for name in ("own", "room", "package"))
        client.download(version, own)
        manifest, bundle = Manifest.of(own), Bundle.open(own)
        flavour = _flavour(version, bundle)
        sandbox = Sandbox(
            python=_python(version, flavour),
            seconds=settings.package_seconds,
            memory_mb=settings.package_memory_mb,
        )
        try:
            said = sandbox.run(flavour, own, room)
        except NotPackaged as error:
            raise NotPackaged(f"{version}: {error}") from error
        write(folder, version, own, manifest.digest, room / "out" / GRAPH, said)
        run = _kept(settings, version, folder, said)
        made = Package(run.address(_FOLDER), Manifest.of(folder).digest, manifest.digest)
        back = Path(scratch, "back")
        client.fetch(made.address, back)
        Manifest.of(folder).verify(back)
    client.tag(version, {PACKAGE_TAG: json.dumps(made.to_json())})
    return Made(
        version=version,
        package=made,
        run_id=run.run_id,
        rows=int(said["rows"]),
        origin=str(said["origin"]),
        largest_error=float(said["parity"]["worst"]),
        isolation=str(said["isolation"]),
        notes=tuple(map(str, said["notes"])),
    )


def _flavour(version: ModelVersion, bundle: Bundle) -> str:
    """The flavour that it is loaded by; raises NotPackaged for a version there is none of."""
    if bundle.engine != RUNNER:
        raise NotPackaged(f"{version}: the engine {bundle.engine} serves it as it is")
    found = sorted(FLAVOURS & {*bundle.flavours})
    if not found:
        known = ", ".join(sorted(FLAVOURS))
        got = ", ".join(bundle.flavours) or "none"
        raise NotPackaged(f"{version}: expected a flavour {known}, got {got}")
    if (kind := version.tags.get(KIND_TAG, "tabular")) != "tabular":
        raise NotPackaged(f"{version}: its tag {KIND_TAG} is {kind}; only tabular is converted")
    return found[0]


def _python(version: ModelVersion, flavour: str) -> Path:
    """The interpreter that has the libraries: this one, or that of the environment for Keras."""
    names = apart.absent(_NEEDS[flavour])
    if not names:
        return Path(sys.executable)
    if flavour != "sklearn" and apart.PYTHON.exists():
        return apart.PYTHON
    group = "training" if flavour == "sklearn" else apart.GROUP
    raise UsageError(
        f"{version}: converting flavour {flavour} needs {', '.join(names)}, not installed here; "
        f"make setup GROUP={group}"
    )


def _kept(
    settings: Settings, version: ModelVersion, folder: Path, said: Mapping[str, Any]
) -> TrackedRun:
    """The run that holds the files."""
    run = TrackedRun.start(
        Tracking(settings),
        EXPERIMENT,
        run_name=str(version),
        tags={
            "baton.packaged_from": str(version),
            "baton.rows": str(said["origin"]),
            "baton.isolation": str(said["isolation"]),
        },
    )
    try:
        run.log_metrics({"rows": said["rows"], "largest_error": said["parity"]["worst"]})
        run.log_artifacts(folder, _FOLDER)
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish("FINISHED")
    return run
