"""Where a verified version lies in the node store, for those who only read it.

    <store>/<digest>/manifest.json
    <store>/<digest>/trial.json      what its trial measured here
    <store>/<digest>/files/…

`serving/node/store.py` is the only one that writes there.
"""

from __future__ import annotations

import json
from pathlib import Path

from registry.bundle import Manifest
from registry.errors import BundleInvalid


def root_of(store: Path, digest: str) -> Path:
    """The directory with the version's files."""
    return store / digest / "files"


def manifest_of(store: Path, digest: str) -> Manifest:
    """The manifest the version was stored with; BundleInvalid if it is not (whole) there."""
    path = store / digest / "manifest.json"
    try:
        manifest = Manifest.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleInvalid(f"node store: {digest[:12]} is not there or broken: {error}") from error
    if manifest.digest != digest:
        raise BundleInvalid(f"node store: {digest[:12]} has the manifest of another version")
    return manifest


def cost_mb_of(store: Path, digest: str) -> float:
    """About how many megabytes the version takes once loaded: by its trial, else by its files."""
    try:
        return float(json.loads((store / digest / "trial.json").read_bytes())["resident_mb"])
    except (OSError, ValueError, KeyError, TypeError):
        return sum(one.size for one in manifest_of(store, digest).files.values()) / 1e6
