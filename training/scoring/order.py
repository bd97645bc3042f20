"""Which versions answer an output: taken from the ledger once, and pinned in the output itself.

`_baton/order.json` in the output names every version with its manifest, so that whoever works on
the output, on whatever machine and after whatever was promoted meanwhile, asks the same bytes.
Versions are taken from the ledger, as the nodes take them: what was never in Production, or was not
judged, does not score.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from registry.bundle import Manifest
from registry.client import MlflowRegistry
from registry.errors import UnknownName, UsageError
from registry.ledger import Ledger, Route
from registry.settings import Settings

ORDER = "_baton/order.json"
PLACE = "{series}"
_FOLDER = "scoring"


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """One version and what its bytes must be."""

    model: str
    version: int
    digest: str
    manifest: Mapping[str, Any]

    @classmethod
    def of(cls, model: str, route: Route) -> Self:
        """As the ledger has it."""
        return cls(
            model=model,
            version=route.version,
            digest=route.digest,
            manifest=route.manifest.to_json(),
        )


@dataclass(frozen=True, kw_only=True)
class Order:
    """`versions` by series; of one model for all rows, under the empty name."""

    model: str
    versions: Mapping[str, Pinned]
    partition_rows: int

    @classmethod
    def of(cls, model: str, ledger: Ledger, *, version: int | None, partition_rows: int) -> Self:
        """Take the heads, or the `version` that was one; raises UnknownName or UsageError.

        `{series}` in `model` stands for the series of a fleet: all models that fit answer.
        """
        if PLACE in model:
            if version is not None:
                raise UsageError("--version: a number of one model; a fleet is scored as it serves")
            found = _fleet(model, ledger)
        else:
            found = {"": Pinned.of(model, _route(model, ledger, version))}
        return cls(model=model, versions=found, partition_rows=partition_rows)

    @property
    def told(self) -> str:
        """In words: what answers."""
        only = self.versions.get("")
        return f"{self.model} v{only.version}" if only else f"{len(self.versions)} of {self.model}"

    def to_text(self) -> str:
        """As kept in the output."""
        versions = {name: vars(one) for name, one in sorted(self.versions.items())}
        told = {
            "model": self.model,
            "partition_rows": self.partition_rows,
            "versions": versions,
        }
        return json.dumps(told, indent=1, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The reverse of `to_text`."""
        told = json.loads(text)
        return cls(
            model=told["model"],
            partition_rows=told["partition_rows"],
            versions={name: Pinned(**one) for name, one in told["versions"].items()},
        )

    def refuse_other(self, before: Self, output: str) -> None:
        """Raise UsageError unless `before`, found in the output, is this very order."""
        if before == self:
            return
        if before.partition_rows != self.partition_rows:
            raise UsageError(
                f"{output}: was begun with --partition-rows {before.partition_rows}; "
                "say that again, or use another output"
            )
        raise UsageError(
            f"{output}: holds answers of {before.told}, and {self.told} would answer now: the "
            "answers of several versions are not mixed; use another output (or --version)"
        )

    def fetched(self, settings: Settings, scratch: Path) -> Path:
        """`scratch` with what `python -m serving.batch` reads; files come from the registry.

        They are kept below BATON_HOME, by digest. Raises BundleInvalid or Unreachable.
        """
        store = settings.home / _FOLDER
        store.mkdir(parents=True, exist_ok=True)
        client: MlflowRegistry | None = None
        models: dict[str, dict[str, str]] = {}
        for name, pinned in self.versions.items():
            root, manifest = store / pinned.digest, store / f"{pinned.digest}.json"
            if not manifest.exists():
                client = client or MlflowRegistry(
                    tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
                )
                with _alone(store):
                    if not manifest.exists():
                        _fetch(client, pinned, root, manifest)
            models[name] = {"root": str(root), "manifest": str(manifest)}
        engines = [name for name in settings.engines if name != "runner"]
        told = json.dumps({"models": models, "engines": engines})
        (scratch / "versions.json").write_text(told, encoding="utf-8")
        return scratch


def _route(model: str, ledger: Ledger, version: int | None) -> Route:
    """What answers now, or what a version that answered once was."""
    head = ledger.head(model)
    if version is None:
        if head is None or head.route is None:
            raise UnknownName("model in Production", model, [e.model for e in ledger.heads()])
        return head.route
    routes = [entry.route for entry in ledger.history(model) if entry.route]
    for route in routes:
        if route.version == version:
            return route
    known = sorted({route.version for route in routes})
    raise UnknownName(f"version of {model} that was in Production", str(version), known)


def _fleet(model: str, ledger: Ledger) -> dict[str, Pinned]:
    """Every model in Production whose name fits, by its series."""
    before, _, after = model.partition(PLACE)
    fits = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    found = {
        match[1]: Pinned.of(entry.model, entry.route)
        for entry in ledger.heads()
        if entry.route and (match := fits.fullmatch(entry.model))
    }
    if not found:
        raise UnknownName("models in Production", model, [e.model for e in ledger.heads()])
    return found


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """One process of this machine at a time."""
    with (store / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(client: MlflowRegistry, pinned: Pinned, root: Path, manifest: Path) -> None:
    """Download and verify a version; its manifest appears when its files are all there."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".fetching-") as scratch:
        files = Path(scratch, "files")
        files.mkdir()
        client.download(client.version(pinned.model, pinned.version), files)
        told = Manifest.from_json(pinned.manifest)
        told.verify(files)
        draft = Path(scratch, "manifest.json")
        draft.write_text(json.dumps(told.to_json()), encoding="utf-8")
        shutil.rmtree(root, ignore_errors=True)  # of a process that was killed here
        files.replace(root)
        draft.replace(manifest)
