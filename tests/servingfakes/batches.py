"""Versions as `python -m serving.batch` finds them, and as an earlier command left them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from registry.bundle import Manifest
from registry.ledger import Route
from registry.settings import Settings
from serving.batch.versions import Versions
from training.scoring.order import Order, Pinned

COLUMNS = tuple(f"c{number}" for number in range(4))


def versions(directory: Path, roots: Mapping[str, Path]) -> Versions:
    """What a process of batch scoring has, of these version folders by series."""
    directory.mkdir(parents=True)
    models = {}
    for name, root in roots.items():
        manifest = directory / f"manifest-{len(models)}.json"
        manifest.write_text(json.dumps(Manifest.of(root).to_json()))
        models[name] = {"root": str(root), "manifest": str(manifest)}
    told = {"models": models, "engines": ["onnx", "prophet"]}
    (directory / "versions.json").write_text(json.dumps(told))
    return Versions(directory)


def fetched(settings: Settings, route: Route) -> None:
    """Put a route's files where an earlier command would have kept them: nothing is downloaded."""
    store = settings.home / "scoring"
    store.mkdir(parents=True, exist_ok=True)
    (store / route.digest).symlink_to(route.source)
    (store / f"{route.digest}.json").write_text(json.dumps(route.manifest.to_json()))


def order(route: Route, *, model: str = "iris", partition_rows: int = 1000) -> Order:
    """What one version answers."""
    return Order(model=model, versions={"": Pinned.of(model, route)}, partition_rows=partition_rows)
