"""Routes and drafts for whoever needs a ledger with something in it."""

from __future__ import annotations

import hashlib
from typing import Any

from registry.bundle import FileDigest, Manifest
from registry.ledger import Door, Draft, EntryKind, Route


def manifest(content: str = "weights") -> Manifest:
    """The manifest of a version of one file."""
    raw = content.encode()
    return Manifest({"model.onnx": FileDigest(hashlib.sha256(raw).hexdigest(), len(raw))})


def route(version: int = 1, **changes: Any) -> Route:
    """A route to a version; its bytes differ from those of every other version."""
    files = manifest(f"weights of {version}")
    fields: dict[str, Any] = {
        "version": version,
        "created_ms": 1_000 + version,
        "digest": files.digest,
        "source": f"file:///models/{version}",
        "manifest": files,
    }
    return Route(**{**fields, **changes})


def draft(model: str = "iris", version: int = 1, **changes: Any) -> Draft:
    """A promotion of a version."""
    fields: dict[str, Any] = {
        "model": model,
        "kind": EntryKind.PROMOTE,
        "routes": (route(version),),
        "actor": "ada",
        "door": Door.COMMAND,
        "reason": f"{model} v{version} passed its gates",
    }
    return Draft(**{**fields, **changes})
