"""What a version's predictions are held against: its bundle's profile, labels and metrics.

`References` is the port; `RegistryReferences` reads bundles through the registry, once a version.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from registry import looks
from registry.bundle import FOLDER, Bundle
from registry.client import RegistryClient, reaching
from registry.errors import BundleInvalid, UnknownName
from registry.profile import LabelProfile, ReferenceProfile
from training.monitoring.chance import Expected
from training.tracking import Tracking

# What a bundle from before there was a profile of predictions was measured on, to be careful.
_FEW_ROWS = 30
_MOST = 500


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Of one version; `missing` says why there is no profile. `labels` name classes by number.

    `features` are the profile's columns that requests carry; `metrics` are those of its hold-out of
    `rows` rows.
    """

    experiment: str
    source: str = ""
    profile: ReferenceProfile | None = None
    features: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    rows: int = _FEW_ROWS
    missing: str = ""

    def class_name(self, value: object) -> str:
        """A class as people know it, by its number or by its name."""
        text = str(value)
        if self.labels and text.isdecimal() and int(text) < len(self.labels):
            return self.labels[int(text)]
        return text

    def classes(self, profile: LabelProfile) -> dict[str, float]:
        """The shares of a profile's classes, by their names."""
        return {self.class_name(label): share for label, share in profile.shares.items()}

    def expected(self, *, is_label: bool) -> Expected | None:
        """The error that promotion measured, as `page` wants it; None if it measured none."""
        if is_label:
            accuracy = self.metrics.get("accuracy")
            return None if accuracy is None else Expected.of_share(1 - accuracy, self.rows)
        error = self.metrics.get("mae")
        return None if error is None else Expected.of_size(error, self.rows)


class References(Protocol):
    """Where references come from; may raise Unreachable, and can then be asked again."""

    def of(self, model: str, version: str) -> Reference:
        """That of a version; without a profile where there is none, and why."""


class RegistryReferences:
    """Downloads a version's files once, for `baton/` in them; its run names the experiment."""

    def __init__(self, client: RegistryClient, tracking: Tracking) -> None:
        """Nothing is asked for yet."""
        self._client = client
        self._tracking = tracking
        self._known: dict[tuple[str, str], Reference] = {}

    def of(self, model: str, version: str) -> Reference:
        """See `References.of`."""
        key = (model, version)
        if key not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = self._read(model, version)
        return self._known[key]

    def _read(self, model: str, version: str) -> Reference:
        if not version.isdecimal():
            return Reference(experiment=model, missing="no version answered")
        try:
            found = self._client.version(model, int(version))
        except UnknownName as error:
            return Reference(experiment=model, missing=str(error))
        experiment, source = self._origin(found.run_id or "")
        with tempfile.TemporaryDirectory(prefix="baton-reference-") as scratch:
            root = Path(scratch, "version")
            try:
                self._client.download(found, root)
                return read(root, experiment=experiment or model, source=source)
            except BundleInvalid as error:
                return Reference(experiment=experiment or model, source=source, missing=str(error))

    def _origin(self, run_id: str) -> tuple[str, str]:
        """Experiment and data source of the training run; empty where there is none."""
        uri = self._tracking.settings.tracking_uri
        try:
            with reaching(uri, missing=("run", run_id)):
                if not run_id:
                    return "", ""
                run = self._tracking.client.get_run(run_id)
                experiment = self._tracking.client.get_experiment(run.info.experiment_id)
        except UnknownName:
            return "", ""
        return str(experiment.name), str(run.data.tags.get("data_source", ""))


def read(root: Path, *, experiment: str, source: str = "") -> Reference:
    """The reference of the version in a directory; raises BundleInvalid for a broken one."""
    bundle = Bundle.open(root)
    profile = _profile(root / FOLDER / "profile.json")
    measured = bundle.evaluation
    return Reference(
        experiment=experiment,
        source=source or (measured.source if measured else ""),
        profile=profile,
        features=_features(bundle, profile),
        labels=bundle.labels,
        metrics=measured.metrics if measured else {},
        rows=(profile.predicted_rows if profile else 0) or _FEW_ROWS,
        missing="" if profile else "its bundle has no profile.json",
    )


def _profile(path: Path) -> ReferenceProfile | None:
    if not path.is_file():
        return None
    try:
        return ReferenceProfile.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleInvalid(f"{path.name}: does not have its form: {error!r}") from error


def _features(bundle: Bundle, profile: ReferenceProfile | None) -> tuple[str, ...]:
    """The profile's columns that the version is asked with: the target is none of them."""
    if profile is None:
        return ()
    schema: Any = bundle.schema.get("inputs") or ()
    asked = {str(one.get("name")) for one in schema if isinstance(one, Mapping)}
    if bundle.signature is not None:
        asked |= {column.name for column in bundle.signature.columns}
    if bundle.kind == "image":
        asked |= {*looks.NAMES}
    return tuple(name for name in (*profile.numbers, *profile.labels) if name in asked)
