"""Version folders on disk, and their routes, assignments and ledger entries."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.bundle import Golden, Manifest
from registry.ledger import Door, Draft, Entry, EntryKind, Key, Ledger, Role, Route
from serving.assignments import Arm, Assignment
from serving.node.store import NodeStore

LATE_MS = 4_000_000_000_000


def folder(path: Path, model: bytes, *, files: Mapping[str, str] | None = None) -> Path:
    """A version as MLflow would keep it: `model.onnx` and whatever else is given."""
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(model)
    for name, text in (files or {}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def batched(most_rows: int, golden: Golden) -> dict[str, str]:
    """The files of a version that declares joint calls."""
    own = {"kind": "tabular", "engine": "onnx", "model_file": "model.onnx"}
    return {
        "baton/bundle.json": json.dumps({**own, "batching": {"max_rows": most_rows}}),
        "baton/golden.json": json.dumps(golden.to_json()),
    }


def mlmodel(columns: Sequence[Mapping[str, Any]]) -> str:
    """An `MLmodel` file with a signature of columns."""
    signature = {"inputs": json.dumps(list(columns)), "outputs": "[]"}
    return json.dumps({"flavors": {"onnx": {"data": "model.onnx"}}, "signature": signature})


def route(path: Path, version: int = 1, *, golden: Golden | None = None) -> Route:
    """The route to a folder, as the judge would have written it."""
    hashed = Manifest.of(path)
    return Route(
        version=version,
        created_ms=1,
        digest=hashed.digest,
        source=str(path),
        manifest=Manifest(hashed.files, golden=golden),
    )


def store(node_store: Path, path: Path) -> str:
    """Put a folder into a node store by hand; returns its digest."""
    keeper, manifest = NodeStore(node_store), Manifest.of(path)
    with keeper.incoming(manifest.digest) as scratch:
        for name in manifest.files:
            target = scratch / "files" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((path / name).read_bytes())
        keeper.keep(scratch, manifest)
    return manifest.digest


def assignment(
    digest: str, seq: int, *, model: str = "iris", version: int | None = None, epoch: int = 1
) -> Assignment:
    """A version at its place in the order; its number is its seq unless told otherwise."""
    return Assignment(
        model=model, version=version or seq, digest=digest, key=Key(epoch, seq), since_ms=seq
    )


def beside(route: Route, share: float, *, role: Role = Role.SPLIT, sticky: str = "") -> Route:
    """The route to a version beside the one that serves; a registrar does not end it."""
    return dataclasses.replace(route, role=role, weight=share, sticky=sticky, until_ms=LATE_MS)


def with_arm(
    one: Assignment, digest: str, share: float, *, version: int = 99, **more: Any
) -> Assignment:
    """An assignment with a version beside it: of a split, unless told otherwise."""
    fields = {name: getattr(one, name) for name in ("model", "key", "since_ms")}
    arm = Arm(**{**fields, "role": Role.SPLIT, **more}, version=version, digest=digest, share=share)
    return dataclasses.replace(one, arm=arm)


def draft(model: str, *routes: Route) -> Draft:
    """An entry to be appended."""
    return Draft(
        model=model,
        kind=_kind(routes),
        routes=routes,
        actor="test",
        door=Door.COMMAND,
        reason="a test",
    )


def append(ledger: Ledger, model: str, *routes: Route) -> Entry:
    """Make the head of a model what serves, and what is beside it."""
    made = draft(model, *routes)
    return ledger.append(made, expected=ledger.head(model), at_ms=1_700_000_000_000)


def _kind(routes: Sequence[Route]) -> EntryKind:
    return EntryKind(routes[-1].role) if len(routes) > 1 else EntryKind.PROMOTE


def entry(to: Route, seq: int, *arm: Route, model: str = "iris", revision: int = 0) -> Entry:
    """An entry in its place, for ledgers that are fakes."""
    return Entry(
        model=model,
        kind=_kind((to, *arm)),
        routes=(to, *arm),
        actor="test",
        door=Door.COMMAND,
        reason="a test",
        key=Key(1, seq),
        revision=revision or seq,
        at_ms=seq,
        previous_hash="",
    )


def retirement(seq: int, *, model: str = "iris", revision: int | None = None) -> Entry:
    """An entry that takes a model out of Production."""
    return Entry(
        model=model,
        kind=EntryKind.RETIRE,
        routes=(),
        actor="test",
        door=Door.COMMAND,
        reason="a test",
        key=Key(1, seq),
        revision=revision or seq,
        at_ms=seq,
        previous_hash="",
    )
